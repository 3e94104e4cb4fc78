"""The four coroutine patterns that g++ before 12.3 miscompiles; docs/hazards/gcc12-coroutines.md explains them.

The rules are stricter than the bugs, because the lint knows no types: what it lets pass is sound, and what it reports can be
written in a sound way with one more line. Where a report is wrong, `lint-allow: REASON` in a comment on that line ends it.
"""

import re

CONTROL = re.compile(r"\b(if|while|switch|for)\s*(?:constexpr\s*)?(?=\()")
# A declaration of one variable: at least a type and a name in front of "=" or "{".
DECLARATION = re.compile(r"^\s*(?:(?:const|constexpr|static)\s+)*[A-Za-z_][\w:]*(?:<.*>)?(?:\s*[&*]+\s*|\s+)(?:\w+|\[[^\]]*\])\s*(?:=(?!=)|\{)", re.S)
# Braces after these hold no aggregate with something to destroy.
HARMLESS = re.compile(r"^(?:\w+_t|bool|char|int|unsigned|long|float|double|byte|string|string_view|seconds|milliseconds|microseconds|"
                      r"nanoseconds|minutes|hours|error_code|monostate|optional|shared_ptr|unique_ptr|weak_ptr)$")
BLOCK_WORDS = {"else", "do", "try"}
RECORD = re.compile(r"\b(struct|class)\s+(?:\[\[[^\]]*\]\]\s*)?(\w+)\s*(?:final\s*)?(:[^;{}()]*)?\{")


def records(source):
    """Names of the classes defined here, in two sets: aggregates, and those with a constructor or private members."""
    aggregates, others = set(), set()
    for match in RECORD.finditer(source.code):
        name, end = match.group(2), source.partner.get(match.end() - 1)
        body = source.code[match.end():end]
        constructed = re.search(rf"(?<![\w~:]){name}\s*\(", body)
        hidden = match.group(1) == "class" or re.search(r"\b(private|protected)\s*:", body)
        (others if constructed or hidden else aggregates).add(name)
    return aggregates, others


def split_clauses(source, start, end):
    """The parts of a condition's bracket between its top-level semicolons, as (start, end)."""
    clauses, position, begin = [], start, start
    while position < end:
        if source.code[position] in "([{" and position in source.partner:
            position = source.partner[position]
        elif source.code[position] == ";":
            clauses.append((begin, position))
            begin = position + 1
        position += 1
    clauses.append((begin, end))
    return clauses


def awaits(source, start, end):
    """Positions of the co_await between two positions, those inside the bodies of lambdas left out."""
    position = start
    while position < end:
        if source.code[position] == "[" and source.is_lambda(position):
            body = source.lambda_body(position)
            if body is not None and body in source.partner:
                position = source.partner[body]
        elif re.match(r"\bco_await\b", source.code[position:position + 9]) and not source.code[position - 1].isalnum():
            yield position
            position += 7
        position += 1


def conditions(source):
    for match in CONTROL.finditer(source.code):
        opening = match.end()
        closing = source.partner.get(opening)
        if closing is None:
            continue
        clauses = split_clauses(source, opening + 1, closing)
        if match.group(1) == "for":
            clauses = clauses[1:2]  # a range, an initializer and an increment are sound
        else:
            clauses = clauses[-1:]
        for start, end in clauses:
            found = next(awaits(source, start, end), None)
            if found is not None and not DECLARATION.match(source.code[start:found]):
                yield found, f"co_await in the condition of a {match.group(1)}: name its result first"


def statement(source, position):
    """Start and end of the statement around `position`: between semicolons and the braces of blocks."""
    start = position - 1
    while start >= 0:
        character = source.code[start]
        if character == ";" or character in "({[" and start in source.partner and character == "{":
            if character == "{" and not is_block(source, start):
                start -= 1
                continue
            break
        if character in ")]" and start in source.partner:
            start = source.partner[start]
        elif character == "}":
            opening = source.partner.get(start)
            if opening is None or is_block(source, opening):
                break
            start = opening
        start -= 1
    end = position
    while end < len(source.code):
        character = source.code[end]
        if character == ";":
            break
        if character == "{" and is_block(source, end):
            break
        if character in "([{" and end in source.partner:
            end = source.partner[end]
        elif character == "}":
            break
        if character == "[" and source.is_lambda(source.partner.get(end, end)):
            body = source.lambda_body(source.partner[end])
            if body is not None:
                end = source.partner.get(body, end)
        end += 1
    return start + 1, end


def is_block(source, brace):
    """Whether a `{` opens a block of statements (or a body) and does not initialize something."""
    last = source.before(brace)
    if last < 0 or source.code[last] in ";{}:)":
        return True
    if source.code[last] == "]":  # a lambda without parameters
        return True
    word = source.word_before(brace)
    if word in BLOCK_WORDS or word in ("mutable", "noexcept", "override", "final", "const"):
        return True
    # A return type: `) -> awaitable<void> {`
    return bool(re.search(r"\)\s*(?:mutable\s*|noexcept\s*)*->\s*[\w:<>,\s*&]+$", source.code[max(0, brace - 200):brace]))


def type_name(source, brace):
    """The last part of the type in front of a brace or parenthesis: `std::array<int, 2>{` gives array."""
    last = source.before(brace)
    if last >= 0 and source.code[last] == ">":
        depth = 0
        while last >= 0:
            depth += {">": 1, "<": -1}.get(source.code[last], 0)
            if depth == 0:
                break
            last -= 1
        return source.word_before(last)
    return source.word_before(brace)


def temporaries(source, aggregates, others):
    reported = set()
    for found in awaits_everywhere(source):
        start, end = statement(source, found)
        position = start
        while position < end:
            character = source.code[position]
            if character == "[" and source.is_lambda(position):
                closing = source.partner.get(position)
                body = source.lambda_body(position)
                if closing is None or body is None:
                    position += 1
                    continue
                # The statement may be the inside of this lambda, or its captures may be what is awaited with.
                if not body < found < source.partner.get(body, body) and position not in reported:
                    captures = source.code[position + 1:closing]
                    if any(by_value(capture) for capture in split_commas(captures)):
                        reported.add(position)
                        yield position, "a lambda that captures by value inside a co_await expression: name the lambda first"
                position = source.partner.get(body, body) + 1
                continue
            if character in "{(" and position not in reported and position in source.partner:
                name = type_name(source, position)
                if character == "(" and name in aggregates:
                    reported.add(position)
                    yield position, f"aggregate temporary {name}(...) inside a co_await expression: name it first"
                elif character == "{" and not is_block(source, position):
                    if name not in others and not HARMLESS.match(name):
                        reported.add(position)
                        what = f"{name}{{...}}" if name else "{...}"
                        yield position, f"braces {what} inside a co_await expression: name the value first, or call its constructor"
            position += 1


def conditionals(source):
    """A `? :` in one full expression with a co_await: the temporary that one of its branches makes is destroyed twice."""
    reported = set()
    for found in awaits_everywhere(source):
        start, end = statement(source, found)
        position = start
        while position < end:
            if source.code[position] == "[" and source.is_lambda(position):
                body = source.lambda_body(position)
                if body is not None and not body < found < source.partner.get(body, body):
                    position = source.partner.get(body, body)
            elif source.code[position] == "?" and position not in reported:
                reported.add(position)
                yield position, "a conditional inside a co_await expression: name its value first"
            position += 1


def awaits_everywhere(source):
    return [match.start() for match in re.finditer(r"\bco_await\b", source.code)]


def split_commas(text):
    parts, depth, begin = [], 0, 0
    for position, character in enumerate(text):
        if character in "([{<":
            depth += 1
        elif character in ")]}>":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[begin:position])
            begin = position + 1
    parts.append(text[begin:])
    return [part.strip() for part in parts if part.strip()]


def by_value(capture):
    return not (capture.startswith("&") or capture == "this")


def check(source, aggregates, others):
    yield from conditions(source)
    yield from temporaries(source, aggregates, others)
    yield from conditionals(source)
