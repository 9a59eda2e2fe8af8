// What the page says in words.

/** Of each state: the word on the key, and the hint below it, hands-free and with the key held. */
export const STATES = {
  off: ["Talk", "press to begin"],
  connecting: ["One moment", "opening the line"],
  listening: ["Listening", "just speak", "press and hold"],
  hearing: ["Hearing you", "go on", "let go to ask"],
  thinking: ["Thinking", "press to stop"],
  answering: ["Answering", "speak to interrupt", "hold to interrupt"],
  held: ["Yes?", "waiting for you"],
  interrupted: ["Go on", "the answer stopped"],
  paused: ["Paused", "press to listen"],
  denied: ["Talk", "press to try again"],
  lost: ["No line", "trying again"],
  full: ["Full", "trying again"],
};

/** Problems by the browser's name for them, or the page's own. */
export const PROBLEMS = {
  NotAllowedError:
    "The microphone is blocked for this page. Allow it beside the address and press again. " +
    "Written questions and sound files need none.",
  NotFoundError: "There is no microphone. Plug one in and press again, write your question, or drop a sound file here.",
  NotReadableError: "Another program holds the microphone. Close it and press again, or write your question.",
  unplugged: "The microphone was unplugged. Plug it in and press again, or write your question.",
  microphone: "The microphone cannot be used. Write your question, or drop a sound file here.",
  insecure:
    "A browser lends its microphone and loudspeaker only to pages by https or from this machine. " +
    "Here, written questions and sound files are answered in writing.",
  wrong: "The server did not accept this token.",
  unsendable: "A browser cannot send this token. It can send letters, digits and ! # $ % & ' * + - . ^ _ ` | ~",
  failed: "The answer could not be written.",
  idle: "Nothing was said for a while, so the conversation was closed. Press to begin another.",
  closed: "The server closed the conversation. Press to begin another.",
  divide: "The line was cut here. What was said before is forgotten.",
};
