"""What reviewers decided reaches the rows: a rejected turn is none, an edited one says their
words.
"""

from agent_assets.conversations.messages import Message
from agent_assets.conversations.validation import RejectReason
from agent_assets.reviews.decisions import content_id
from agent_assets.synthesis.questions.question import Question
from agent_assets.synthesis.rows.decided import reviewed
from agent_assets.synthesis.rows.example import Example
from agent_assets.synthesis.rows.heldout import heldout_item
from agent_assets.synthesis.tasks.script import Script, fixed_answer
from agent_assets.synthesis.tasks.task import Task

ASKED, ANSWERED = "Where did you live?", "In Boston [m-1]."


def example(answer: str = ANSWERED) -> Example:
    question = Question("q1", ASKED, "en", (), "heldout", "w1", wording_seen=True)
    task = Task(question, "recall_open", "", (), Script((), fixed_answer("")))
    return Example(task, (Message("user", ASKED), Message("assistant", answer)), ())


def test_a_rejected_turn_is_no_row_and_says_who_was_asked() -> None:
    (why,) = reviewed(example(), {content_id(ASKED, ANSWERED): None}).rejections
    assert (why.reason, why.detail) == (RejectReason.REVIEWED, "a reviewer marked it as wrong")


def test_an_edited_turn_says_what_the_reviewer_wrote_in_training_and_examination() -> None:
    edited = reviewed(example(), {content_id(ASKED, ANSWERED): "In Philadelphia [m-1]."})
    assert edited.rejections == () and edited.answer == "In Philadelphia [m-1]."
    assert edited.messages[0] == Message("user", ASKED)
    assert heldout_item(edited).gold_answer == "In Philadelphia [m-1]."


def test_a_decision_holds_for_its_own_words_alone() -> None:
    decided = {content_id(ASKED, ANSWERED): None}
    other = example("In Paris.")
    assert reviewed(other, decided) is other


def test_what_a_reviewer_saw_without_markers_is_what_was_decided_about() -> None:
    """Rows hold no marks of a chat template; an example still does."""
    marked, shown = "In Boston <|im_end|>.", "In Boston < |im_end|>."
    assert reviewed(example(marked), {content_id(ASKED, shown): None}).rejections
