"""French, as somebody would add it: the test copies this file to where languages lie."""

import re
from collections.abc import Sequence

from agent_assets.text.languages.generic import GenericRules
from agent_assets.text.languages.rules import LanguageCode, Phrases
from agent_assets.text.numbers import COMMA

PHRASES = Phrases(
    language="fr",
    elder="Ancien",
    told_by={"family": "Ma famille le raconte ainsi : "},
    no_yes=("non", "oui"),
    comma=", ",
    last_comma=" et ",
    argument_comma=", ",
    result="Voici : {result}.",
    no_result="L'outil n'a rien donné.",
    cannot="Mes outils ne le disent pas.",
    task="{task}.",
    requests=("{task} : {arguments}.", "{arguments} : {task}."),
    bare_requests=("{task}.", "{task}, merci."),
    system_prompt="Vous êtes {name}. {traits}Répondez à la première personne.",
    traits={"hobby": "Vous aimez {}."},
    sentence_space=" ",
    teacher="Écrivez en {language}.",
    persona="Parlez à la première personne.",
)

_STOP_TEXT = """à au aux avec ce dans de des du elle en est et il je la le les ma me mes mon nous on par pas pour
que qui sa se ses son sur un une vous"""  # noqa: E501
_PERSON = re.compile("(?:mon frère|ma sœur|mon oncle) ([A-ZÉ][a-zé]+)")


class French(GenericRules):
    """French."""

    name = "French (français)"
    phrases = PHRASES
    aliases = frozenset({"french", "français"})
    also_read: tuple[LanguageCode, ...] = ()
    stop_words = frozenset(_STOP_TEXT.split())
    never_told = (
        re.compile("jamais (?:raconté|parlé)"),
        re.compile("ne (?:sais|m'en souviens) pas"),
    )
    number_notations = (COMMA,)

    def people(self, texts: Sequence[str]) -> set[str]:
        """A name after a relation."""
        return {match[1] for text in texts for match in _PERSON.finditer(text)}


RULES = French("fr")
