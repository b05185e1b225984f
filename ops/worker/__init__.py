"""The programs that move data. They run on the runner: ``python -m ops.worker VERB``.

The request is one JSON object on standard input, secrets included; progress is lines on standard error; the answer
is one JSON object on standard output. So no secret is ever in an argument list, an environment or a log.
"""

ANSWER = '{"answer": '
"""What the answer begins with; nothing else that a worker prints does."""
MARK = "» "
"""What each progress line begins with."""
