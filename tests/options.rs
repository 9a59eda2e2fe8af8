//! The options of `mini-omni`: what is refused, what is said to be ignored, what is read.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use common::*;
use serde_json::{Value, json};

/// Asks the random model for a few ids of text.
fn ask(args: &[&str]) -> Output {
    let model = model();
    mini_omni(&[&["ask", text(&model), "--max-steps", "3"], args].concat())
}

fn ids_of(args: &[&str]) -> Value {
    let asked = [args, &["--task", "t1t2", "--trace", "-"]].concat();
    let output = ask(&asked);
    assert!(output.status.success(), "{}", stderr(&output));
    let trace: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    trace["prompt_length"].clone()
}

fn with_stdin(args: &[&str], input: &[u8]) -> Output {
    let model = model();
    let mut child = command(&[&["ask", text(&model), "--max-steps", "3"], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // It may refuse before it has read all.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("an end")
}

#[test]
fn threads_have_a_sensible_bound() {
    assert!(ask(&["--text", "hi", "--threads", "64"]).status.success());
    for many in ["1000000", "99999999999999999999", "-1", "all"] {
        let output = ask(&["--text", "hi", "--threads", many]);
        assert_refused(&output, "give 0 for all");
    }
}

#[test]
fn options_without_effect_are_said_to_be_ignored() {
    let question = question();
    let (hi, spoken) = (["--text", "hi"], [text(&question)]);
    for (asked, args, what) in [
        (
            &hi[..],
            &["--top-k", "3"][..],
            "--top-k has no effect without --temperature",
        ),
        (
            &hi,
            &["--top-p", "0.5", "--temperature", "0"],
            "--top-p has no effect without",
        ),
        (
            &hi,
            &["--temperature", "1", "--top-k", "1"],
            "--temperature has no effect with --top-k 1",
        ),
        (
            &hi,
            &["--temperature", "1", "--top-k", "1", "--top-p", "0.5"],
            "--top-p has no effect with",
        ),
        (
            &hi,
            &["--seed", "3", "--noise", "zero"],
            "--seed has no effect where nothing is drawn",
        ),
        (
            &hi,
            &["--seed", "3", "--task", "t1t2"],
            "--seed has no effect where nothing is drawn",
        ),
        (
            &hi,
            &["--noise", "zero", "--task", "t1t2"],
            "task t1t2 does not speak",
        ),
        (
            &spoken,
            &["--noise", "seeded", "--task", "a1t1"],
            "task a1t1 does not speak",
        ),
        (
            &hi,
            &["--encoder-window", "short"],
            "--encoder-window has no effect on a written",
        ),
        (
            &hi,
            &["--max-seconds", "3"],
            "--max-seconds has no effect on a written question",
        ),
        (
            &spoken,
            &["--special-tokens"],
            "--special-tokens has no effect on a spoken question",
        ),
    ] {
        let output = ask(&[asked, args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains(what), "{args:?}: {said}");
        assert!(said.contains("has no effect"), "{args:?}: {said}");
    }
}

#[test]
fn options_with_an_effect_are_not_remarked_on() {
    let question = question();
    let (hi, spoken) = (["--text", "hi"], [text(&question)]);
    for (asked, args) in [
        (&hi[..], &[][..]),
        (&hi, &["--seed", "3"]),
        (
            &hi,
            &[
                "--temperature",
                "1",
                "--top-k",
                "3",
                "--top-p",
                "0.5",
                "--noise",
                "zero",
                "--seed",
                "1",
            ],
        ),
        (&hi, &["--temperature", "0"]),
        (&hi, &["--special-tokens"]),
        (
            &spoken,
            &[
                "--encoder-window",
                "short",
                "--max-seconds",
                "1",
                "--noise",
                "zero",
            ],
        ),
    ] {
        let output = ask(&[asked, args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(
            !stderr(&output).contains("no effect"),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn text_may_begin_with_a_hyphen() {
    for question in ["-5", "--help", "--", "-", "-x y", "--text"] {
        let output = match question {
            "-" => with_stdin(&["--text", "-", "--task", "t1t2"], b"hello"),
            _ => ask(&["--text", question, "--task", "t1t2"]),
        };
        assert!(output.status.success(), "{question}: {}", stderr(&output));
        assert!(stderr(&output).contains("ids of text"), "{question}");
    }
}

#[test]
fn text_comes_from_a_file_or_standard_input_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("question.txt");
    let expected = ids_of(&["--text", "What is your name?"]);
    for content in [
        "What is your name?",
        "What is your name?\n",
        "\u{FEFF}What is your name?\r\n",
    ] {
        fs::write(&file, content).expect("written");
        assert_eq!(
            ids_of(&["--text-file", text(&file)]),
            expected,
            "{content:?}"
        );
        for from_stdin in [["--text", "-"], ["--text-file", "-"]] {
            let asked = [&from_stdin[..], &["--task", "t1t2", "--trace", "-"]].concat();
            let output = with_stdin(&asked, content.as_bytes());
            let trace: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(trace["prompt_length"], expected, "{content:?}");
        }
    }
}

#[test]
fn texts_that_are_none_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("latin"), b"caf\xE9").expect("written");
    fs::write(at("empty"), "").expect("written");
    fs::write(at("blank"), "\u{FEFF} \n\n").expect("written");
    fs::write(at("huge"), vec![b'a'; (1 << 20) + 1]).expect("written");
    for (file, what) in [
        (at("latin"), "is not text in UTF-8 (byte 4 is not)"),
        (at("empty"), "no words"),
        (at("blank"), "no words"),
        (at("huge"), "longer than 1 MiB"),
        ("/dev/zero".into(), "longer than 1 MiB"),
        (at("missing"), "cannot read"),
        (folder.path().into(), "cannot read"),
    ] {
        assert_refused(&ask(&["--text-file", text(&file)]), what);
    }
    assert_refused(&ask(&["--text", ""]), "no words");
    assert_refused(&ask(&["--text", " \t\n"]), "no words");
    assert_refused(&with_stdin(&["--text", "-"], b""), "no words");
}

/// A copy of the random model whose id 255 is a special token, which `text` would otherwise spell.
fn model_with_special_token(folder: &Path, token: &str) {
    copy_model(&model(), folder);
    let edit = |name: &str, change: &dyn Fn(&mut Value)| {
        let path = folder.join(name);
        let mut json = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        change(&mut json);
        fs::write(&path, json.to_string()).expect("written");
    };
    edit("tokenizer.json", &|tokenizer| {
        let vocab = tokenizer["model"]["vocab"].as_object_mut();
        vocab.expect("a vocabulary").retain(|_, id| id != 255);
        tokenizer["model"]["vocab"][token] = 255.into();
        tokenizer["added_tokens"] = json!([{
            "id": 255, "content": token, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        }]);
    });
    let bytes = fs::metadata(folder.join("tokenizer.json"))
        .expect("a file")
        .len();
    edit("manifest.json", &|manifest| {
        let files = manifest["files"].as_array_mut().expect("files");
        let tokenizer = files.iter_mut().find(|f| f["name"] == "tokenizer.json");
        tokenizer.expect("a tokenizer")["bytes"] = bytes.into();
    });
}

#[test]
fn special_tokens_in_a_text_stay_text_unless_they_are_let_act() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("model");
    model_with_special_token(&own, "<|im_start|>");
    let prompt_length = |more: &[&str]| {
        let asked = [
            "ask",
            text(&own),
            "--text",
            "a<|im_start|>b",
            "--task",
            "t1t2",
        ];
        let traced = ["--max-steps", "3", "--trace", "-"];
        let output = mini_omni(&[&asked[..], &traced, more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let trace: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        trace["prompt_length"].as_u64().expect("a length")
    };
    let (written, acting) = (prompt_length(&[]), prompt_length(&["--special-tokens"]));
    assert_eq!(written - acting, "<|im_start|>".len() as u64 - 1);
}

#[test]
fn what_is_wrong_with_text_and_task_is_said_before_the_model_is_loaded() {
    let (model, question) = (model(), question());
    let long = "word ".repeat(3000);
    for (args, what) in [
        (vec!["--text", "  "], "no words"),
        (vec!["--text", long.as_str()], "positions"),
        (vec!["--text", "hi", "--task", "a1t1"], "an audio file"),
        (vec![text(&question), "--task", "t1t2"], "--text"),
        (
            vec!["--text", "hi", "--task", "t1t2", "--out", "x.wav"],
            "does not speak",
        ),
        (vec!["--text", "hi", "--max-seconds", "-1"], "--max-seconds"),
    ] {
        // Loading would fail for want of ONNX Runtime.
        let output = command(&[&["ask", text(&model)], &args[..]].concat())
            .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
            .output()
            .expect("the binary runs");
        assert_refused(&output, what);
        assert!(
            !stderr(&output).contains("ORT_DYLIB_PATH"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn the_usage_line_says_that_a_question_is_a_file_or_a_text() {
    let usage = "mini-omni ask [OPTIONS] MODEL (FILE | --text TEXT)";
    let help = mini_omni(&["ask", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains(usage));
    assert_refused(&ask(&[]), usage);
    let (question, both) = (question(), ["--text", "hi"]);
    assert_refused(&ask(&[&[text(&question)], &both[..]].concat()), usage);
    assert_refused(&ask(&["--text", "hi", "--text-file", "x"]), usage);
}

#[test]
fn hints_name_what_helps() {
    let model = model();
    for (args, env, what) in [
        (
            vec!["inspect", "/nowhere"],
            None,
            "hint: `mini-omni inspect MODEL --verify`",
        ),
        (
            vec!["ask", text(&model), "--text", "hi"],
            Some("/nowhere/libonnxruntime.so"),
            "hint: `make onnxruntime`",
        ),
        (
            vec!["ask", text(&model), "--text", "hi", "--provider", "cuda"],
            None,
            "hint: --provider cpu",
        ),
    ] {
        let mut asked = command(&args);
        env.iter().for_each(|library| {
            asked.env("ORT_DYLIB_PATH", library);
        });
        assert_refused(&asked.output().expect("the binary runs"), what);
    }
}

#[test]
fn help_tells_the_exit_codes_and_version_the_version() {
    for args in [
        &["--help"][..],
        &["ask", "--help"],
        &["compare", "--help"],
        &["man"],
    ] {
        let output = mini_omni(args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.to_lowercase().contains("exit codes"), "{said}");
        assert!(said.contains("holds no speech"), "{said}");
    }
    let version = mini_omni(&["--version"]).stdout;
    let expected = format!("mini-omni {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version), expected);
}

#[test]
fn completions_and_the_manual_know_every_command_and_option() {
    let commands = ["ask", "bench", "compare", "inspect", "completions", "man"];
    let options = ["text-file", "player-buffer", "min-agreement", "verify"];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = mini_omni(&["completions", shell]);
        assert!(output.status.success(), "{}", stderr(&output));
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        for word in commands.iter().chain(&options) {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let manual = mini_omni(&["man"]);
    let page = String::from_utf8_lossy(&manual.stdout).replace('\\', "");
    for command in commands {
        let section = format!(".SH MINI-OMNI {}\n", command.to_uppercase());
        assert!(page.contains(&section), "{command} is not in the manual");
    }
    for option in options {
        assert!(
            page.contains(&format!("--{option}")),
            "{option} is not in the manual"
        );
    }
    assert_refused(&mini_omni(&["completions", "abacus"]), "possible values");
}

#[test]
fn the_last_line_says_in_words_why_an_answer_ended() {
    let output = ask(&["--text", "hi"]);
    assert!(
        stderr(&output).ends_with("ended by its limit of steps\n"),
        "{}",
        stderr(&output)
    );
}
