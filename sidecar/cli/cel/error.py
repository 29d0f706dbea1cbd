"""What is wrong with the text of an expression."""


class CelError(Exception):
    """An expression cannot be compiled, or is outside of the subset.

    `str()` is what is wrong and the hint, without the place.

    Attributes:
        line: Where in the text, from 1.
        column: Likewise; in characters.
        text: What is wrong.
        hint: What would be right; empty when there is nothing to say.
    """

    def __init__(self, line: int, column: int, text: str, hint: str = "") -> None:
        super().__init__(f"{text}; {hint}" if hint else text)
        self.line = line
        self.column = column
        self.text = text
        self.hint = hint
