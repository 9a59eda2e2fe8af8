"""Kinds of question about the speaker itself, small talk and device commands."""

from collections.abc import Iterator

from .fact import Fact
from .tables import CAPITALS
from .words import capital, number, plural

SMALL_TALK = {
    "name": (["What is your name?", "Who are you?", "What are you called?", "Tell me your name."],
             "My name is Mini Omni."),
    "hobbies": (["What are your hobbies?", "What do you like to do?", "Do you have a hobby?",
                 "What do you like?"],
                "I like music and long talks."),
    "beijing": (["Do you like Beijing?", "Do you like the city of Beijing?"],
                "Yes, I like Beijing."),
    "feeling": (["How are you feeling today?", "How are you?", "How do you feel?",
                 "How are you today?"], "I feel good today, thank you."),
    "weather": (["What is the weather like today?", "How is the weather?",
                 "How is the weather today?", "What is the weather like?",
                 "What is the weather today?", "Tell me about the weather.",
                 "Is the weather good today?"], "I can not see the weather from here."),
    "hello": (["Hello.", "Hi.", "Hello there.", "Good morning.", "Good evening."],
              "Hello, how can I help you?"),
    "bye": (["Goodbye.", "Bye bye.", "See you later."], "Goodbye, see you soon."),
    "thanks": (["Thank you.", "Thank you very much.", "Thanks a lot."], "You are welcome."),
    "home": (["Where do you live?", "Where are you?"], "I live in this machine."),
    "age": (["How old are you?", "What is your age?"], "I am very young."),
    "human": (["Are you a human?", "Are you a robot?", "Are you a machine?"],
              "I am a small language model."),
    "can": (["What can you do?", "How can you help me?"],
            "I can listen and answer short questions."),
    "maker": (["Who made you?", "Who built you?"], "I was trained with open tools."),
    "joke": (["Tell me a joke.", "Do you know a joke?"], "My jokes are too short to tell."),
    "hear": (["Can you hear me?", "Do you hear me?"], "Yes, I can hear you."),
    "time": (["What time is it?", "What is the time?"], "I do not have a clock."),
    "sing": (["Can you sing?", "Sing a song.", "Sing me a song."],
             "I can speak, but I can not sing."),
    "food": (["What do you eat?", "Are you hungry?"], "I do not eat, but I like numbers."),
}  # fmt: skip

ROOMS = ["kitchen", "bedroom", "garden", "bathroom", "hall", "office", "garage"]
DEVICES = ["light", "lamp", "fan", "heater", "radio", "television", "music", "alarm"]
REPLY = "Okay"


def small_talk() -> Iterator[Fact]:
    for key, (ways, answer) in SMALL_TALK.items():
        yield Fact(key, ways, answer, key, {})


def like_city() -> Iterator[Fact]:
    for city in CAPITALS.values():
        ways = [f"Do you like {city}?", f"Do you like the city of {city}?"]
        yield Fact(city, ways, f"Yes, I like {city}.", "like_city", {"a": city})


def switch() -> Iterator[Fact]:
    for room in ROOMS:
        for device in DEVICES:
            for state in ("on", "off"):
                ways = [
                    f"Turn {state} the {device} in the {room}.",
                    f"Please turn the {room} {device} {state}.",
                ]
                said = f"{REPLY}, the {room} {device} is {state}."
                words = {"r": room, "d": device, "s": state}
                yield Fact(f"{room}{device}{state}", ways, said, "switch", words)


def timer() -> Iterator[Fact]:
    for n in range(1, 61):
        for unit in ("minute", "second", "hour"):
            many = f"{number(n)} {unit if n == 1 else plural(unit)}"
            ways = [f"Set a timer for {many}.", f"Please set a timer for {many}."]
            answer = f"{REPLY}, a timer for {many}."
            yield Fact(f"{n}{unit}", ways, answer, "timer", {"a": many})


def alarm() -> Iterator[Fact]:
    for hour in range(1, 13):
        for minute in (0, 5, 10, 15, 20, 30, 40, 45, 50):
            for part in ("in the morning", "in the evening"):
                clock = number(hour) + ("" if minute == 0 else " " + number(minute))
                ways = [f"Wake me at {clock} {part}.", f"Set an alarm for {clock} {part}."]
                said = f"{REPLY}, I will wake you at {clock} {part}."
                words = {"a": clock, "p": part}
                yield Fact(f"{hour}{minute}{part}", ways, said, "alarm", words)


def volume() -> Iterator[Fact]:
    for n in range(1, 11):
        ways = [f"Set the volume to {number(n)}.", f"Volume {number(n)}, please."]
        answer = f"{REPLY}, the volume is {number(n)}."
        yield Fact(str(n), ways, answer, "volume", {"a": number(n)})


def _repeat_ways(a: str, b: str) -> list[str]:
    return [f"Say {a} and {b}.", f"Repeat {a} and {b}."]


def repeat() -> Iterator[Fact]:
    words = (
        "hello water music yellow garden summer river window morning flower orange "
        "house bread happy stone winter paper school mother father animal"
    ).split()
    for a in words:
        for b in words:
            if a != b:
                ways, asked = _repeat_ways(a, b), {"a": a, "b": b}
                yield Fact(f"{a}{b}", ways, f"{capital(a)}, {b}.", "repeat", asked)


KINDS = {f.__name__: f for f in (small_talk, like_city, switch, timer, alarm, volume, repeat)}
