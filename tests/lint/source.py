"""C++ source as the lint sees it: comments and literals blanked out, brackets paired."""

import re

# Raw strings first: their content may look like anything else here.
BLANK = re.compile(
    r'(?:u8|[uUL])?R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"'
    r"|//(?:\\\n|[^\n])*"
    r"|/\*.*?\*/"
    r'|(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-zA-Z_])(?:u8|[uUL])?'(?:\\.|[^'\\\n])+'",
    re.DOTALL)
RAW = re.compile(r'(?:u8|[uUL])?R"')
PAIRS = {"(": ")", "[": "]", "{": "}"}


def blank(text):
    """Same length and lines, with the inside of comments and literals as spaces; a literal keeps its quotes' places
    as one word, so that `f("x")` still has an argument."""

    def erase(match):
        piece = match.group(0)
        spaces = re.sub(r"[^\n]", " ", piece)
        return spaces if piece.startswith("/") else "0" + spaces[1:]

    return BLANK.sub(erase, text)


class Source:
    def __init__(self, text):
        self.text = text
        self.code = blank(text)
        self.partner = {}  # position of a bracket -> position of its partner
        stack = []
        for position, character in enumerate(self.code):
            if character in PAIRS:
                stack.append(position)
            elif character in ")]}":
                # Macros can leave brackets unbalanced; what does not match is left without a partner.
                while stack and PAIRS[self.code[stack[-1]]] != character:
                    stack.pop()
                if stack:
                    opening = stack.pop()
                    self.partner[opening] = position
                    self.partner[position] = opening

    def literals(self):
        """(position, content) of every ordinary string literal."""
        for match in BLANK.finditer(self.text):
            piece = match.group(0)
            if piece.endswith('"') and not RAW.match(piece) and not piece.startswith("/"):
                yield match.start(), piece.split('"', 1)[1][:-1]

    def line(self, position):
        return self.code.count("\n", 0, position) + 1

    def before(self, position):
        """The position of the last character before `position` that is not a space, or -1."""
        position -= 1
        while position >= 0 and self.code[position].isspace():
            position -= 1
        return position

    def word_before(self, position):
        """The identifier that ends before `position`, or an empty string."""
        end = self.before(position) + 1
        start = end
        while start > 0 and (self.code[start - 1].isalnum() or self.code[start - 1] == "_"):
            start -= 1
        return self.code[start:end]

    def is_lambda(self, bracket):
        """Whether a `[` begins a lambda and is no subscript, attribute or structured binding."""
        if self.code[bracket:bracket + 2] == "[[" or self.code[bracket - 1:bracket] == "[":
            return False
        last = self.before(bracket)
        if last < 0 or self.code[last] in ")]":
            return False
        word = self.word_before(bracket)
        if word:
            return word in ("return", "co_return", "co_await", "co_yield", "case", "else")
        return not re.search(r"\bauto\s*&{1,2}$", self.code[:last + 1])

    def lambda_body(self, bracket):
        """The position of a lambda's `{`, or None."""
        position = self.partner.get(bracket)
        while position is not None:
            position += 1
            while position < len(self.code) and self.code[position] not in "({;,)":
                position += 1
            if position >= len(self.code) or self.code[position] in ";,)":
                return None
            if self.code[position] == "{":
                return position
            position = self.partner.get(position)
        return None
