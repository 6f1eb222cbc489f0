"""Ranges of Unicode, as written inside the brackets of a regular expression."""

HAN = "\u3400-\u9fff"
HAN_COMPATIBILITY = "\uf900-\ufaff"  # a dozen of these stay what they are under NFKC
KANA = "\u3040-\u30ff\u31f0-\u31ff"
HANGUL = "\u1100-\u11ff\uac00-\ud7af"
THAI, LAO, MYANMAR, KHMER = "\u0e00-\u0e7f", "\u0e80-\u0eff", "\u1000-\u109f", "\u1780-\u17ff"
LATIN = "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
UNSPACED = HAN + KANA + THAI + LAO + MYANMAR + KHMER  # written without spaces between words
