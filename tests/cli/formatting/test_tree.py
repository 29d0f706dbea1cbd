"""Where comments are, and to which entry each belongs."""

import yaml

from sidecar.cli.formatting import tree


def test_a_comment_is_what_stands_between_tokens() -> None:
    text = "# head\na: 'x # y'  # beside\nb: |-\n  # text\nc: [x#y, # in\n  z]\n# tail"
    found = tree.comments(text, yaml.scan(text, Loader=yaml.SafeLoader))
    assert [comment.text for comment in found] == ["# head", "# beside", "# in", "# tail"]
    assert [(comment.line, comment.column) for comment in found] == [
        (0, 0),
        (1, 12),
        (4, 9),
        (6, 0),
    ]


def test_each_comment_belongs_to_an_entry_or_to_the_ends_of_the_file() -> None:
    file = tree.read("# 1\na:  # 2\n  # 3\n  - x  # 4\n  # 5\nb: {}\n# 6\n")
    a, _ = file.entries
    [x] = a.children
    assert (file.head, file.tail) == (["# 1"], ["# 6"])
    assert (a.beside, x.before, x.beside, x.after) == ("# 2", ["# 3"], "# 4", ["# 5"])


def test_what_was_written_on_one_line_has_no_entries_of_its_own() -> None:
    one, several = tree.read("a: [{x: 1}]\nb: [{x: 1},\n  {x: 2}]\n").entries
    assert (one.children, len(several.children)) == ([], 2)
