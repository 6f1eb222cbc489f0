"""The rules of a language by its code."""

from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules

from agent_assets.text import languages
from agent_assets.text.languages.generic import GenericRules
from agent_assets.text.languages.rules import LanguageCode, LanguageRules

_LONGEST_CODE = 3  # a module with a longer name in that folder is not a language


@lru_cache(maxsize=1)
def known_languages() -> tuple[LanguageCode, ...]:
    """Languages with a module of their own, sorted by code."""
    names = (module.name for module in iter_modules(languages.__path__))
    return tuple(sorted(name for name in names if len(name) <= _LONGEST_CODE))


@lru_cache(maxsize=256)
def rules_for(code: LanguageCode) -> LanguageRules:
    """The rules of a language; generic ones where it has no module."""
    if code not in known_languages():
        return GenericRules(code)
    rules: LanguageRules = import_module(f"{languages.__name__}.{code}").RULES
    return rules


@lru_cache(maxsize=256)
def readers(code: LanguageCode) -> tuple[LanguageRules, ...]:
    """By whose rules a text of a language is read: its own, then those of the languages it mixes
    in.
    """
    own = rules_for(code)
    return own, *map(rules_for, own.also_read)


@lru_cache(maxsize=1)
def code_by_alias() -> dict[str, LanguageCode]:
    """Codes by what databases call languages, in lower case; of languages with a module."""
    return {alias: code for code in known_languages() for alias in (code, *rules_for(code).aliases)}


def phrases_are_its_own(code: LanguageCode) -> bool:
    """Whether what is said in a language without wordings is said in it, or in another one."""
    return rules_for(code).phrases.language == code
