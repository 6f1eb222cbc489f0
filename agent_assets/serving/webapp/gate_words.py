"""The gate's reasons in languages other than its own, English (`release/words.py`): a sentence for
each code that `release/gate.py` gives.
"""

from collections.abc import Mapping

# By language, by code; `{metric}`, `{group}` and `{against}` come from the names below, shares as
# `verdict.share` of the catalog says them.
SENTENCES: Mapping[str, Mapping[str, str]] = {
    "zh": {
        "incomplete": "这个版本的评估或合并没有通过核对，不能使用",
        "canaries": "{answers} 个回答里出现了埋在别人回忆里的暗记",
        "cross_answers": "{items} 个回答里有 {answers} 个重复了别人的回忆",
        "leaks_not_checked": "还没有核对它会不会说出别人讲过的事",
        "knows_others": "它知道别人讲过的事：别人的 {items} 个问题里答出了 {answers} 个",
        "cross_not_asked": "还没有用别人的问题问过它",
        "below_floor": "{metric}：{share}，至少需要 {floor}",
        "fell": "{metric}：{share}，{against}是{before}",
        "rolled_back": "这个版本被人撤回过（{who}）",
        "few_shared": "和现在的版本只有 {items} 道相同的题，需要 {needed} 道",
        "not_checked": "没有一道题能检查{group}",
        "too_few": "检查{group}的题太少：{items} 道，需要 {needed} 道",
        "too_few.never": "检查{group}的题有 {items} 道，再多也不足以确定",
        "can": "{metric}：{share}",
        "nothing_fell": "{items} 道题里没有哪一项变差",
    }
}
# What a metric is called here, where the catalog has no `metric.<name>`; and what a group checks.
METRICS: Mapping[str, Mapping[str, str]] = {"zh": {"recall_closed": "不查也记得讲过的事"}}
GROUPS: Mapping[str, Mapping[str, str]] = {
    "zh": {
        "recall": "它记不记得讲过的事",
        "recall_closed": "它不查时记不记得讲过的事",
        "tools": "它会不会用工具",
        "answers": "它是否如实说出工具的结果",
        "abstention": "没讲过的事它会不会说没讲过",
        "conversation": "它能不能像家人聊天那样回答",
    }
}
AGAINST: Mapping[str, Mapping[str, str]] = {
    "zh": {
        "base": "没有学习过的模型",
        "search_and_quote": "只搜索、只引用原话的办法",
        "current": "现在的版本",
    }
}
