"""When each text id is written, so that text keeps pace with its sound."""


def id_steps(words: list[int], frames: list[int], lead: int = 2) -> list[int]:
    """The step of each text id, given each id's word and each word's frame: a word's ids follow
    each other from `lead` steps before it is heard, or as soon as the words before it are written.

    (The id of step s is read when frame s is made; `lead` beyond that lets the ids of dense
    passages come late and shows the sounds that follow.)"""
    steps: list[int] = []
    for i, word in enumerate(words):
        begins = max(0, frames[word] - lead) if i == 0 or word != words[i - 1] else 0
        steps.append(max(begins, steps[-1] + 1 if steps else 0))
    return steps


def word_of_each_id(text: str, offsets: list[tuple[int, int]]) -> list[int]:
    """Which word (split at spaces) each id belongs to, by the characters it covers."""
    return [text[: max(1, end)].count(" ") for _, end in offsets]
