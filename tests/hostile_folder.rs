//! Model folders made to do harm, and unlucky ones: each is refused in a sentence, or runs.
//!
//! The mutations are drawn from a fixed seed; what is broken by one is broken on every machine.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::*;
use mini_omni::model::check_tokenizer;
use mini_omni::{Manifest, Omni, Options, Provider, Question, Runtime, Task};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Mutated manifests that are read alone, and those that are read with a folder and opened.
const READ: usize = 4000;
const OPENED: usize = 150;
/// No folder may take longer, on a busy machine with other tests beside it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes by which nothing here makes the process grow.
const GROWTH: u64 = 400 << 20;

fn tiny(profile: &str) -> PathBuf {
    root().join("tests/fixtures/tiny").join(profile)
}

fn manifest_of(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

/// A copy of a model with its manifest changed.
fn changed(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy_model(&model(), folder.path());
    let mut manifest = manifest_of(folder.path());
    change(&mut manifest);
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).expect("written");
    folder
}

/// Writes a file of the model and says so in its manifest.
fn replace(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("written");
    let mut manifest = manifest_of(folder);
    for file in manifest["files"].as_array_mut().expect("files") {
        if file["name"] == name {
            file["bytes"] = json!(bytes.len());
        }
    }
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("written");
}

fn ask(folder: &Path) -> std::process::Output {
    let options = ["--task", "t1t2", "--max-steps", "3"];
    let mut args = vec!["ask", text(folder), "--text", "hi aaaaaaaaaaaaaaaaaaaa"];
    args.extend(options);
    mini_omni(&args)
}

/// Bytes that this process held at most, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// The places of all values in a document, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_string());
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| places(value, &format!("{at}/{name}"), found)),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .for_each(|(i, value)| places(value, &format!("{at}/{i}"), found)),
        _ => {}
    }
}

fn extreme(rng: &mut ChaCha8Rng) -> Value {
    let numbers = [
        0,
        1,
        2,
        3,
        7,
        255,
        1023,
        65_537,
        1 << 20,
        1 << 31,
        1 << 32,
        1 << 40,
        1 << 53,
        1 << 61,
        u64::MAX >> 1,
        u64::MAX,
    ];
    let texts = [
        "",
        ".",
        "../x",
        "/dev/zero",
        "a\u{0}b",
        "C:\\x",
        "\u{1b}[2Jx",
        "float16",
        "concat",
        "NUL",
        "text_logits",
        "mel",
        "decoder.onnx",
        "frames_x7",
    ];
    let pick = |n: usize, rng: &mut ChaCha8Rng| rng.next_u32() as usize % n;
    match rng.next_u32() % 10 {
        0..=4 => json!(numbers[pick(numbers.len(), rng)]),
        5 => json!(-1 - (rng.next_u32() as i64 % 3)),
        6 => json!([1e308, 0.5, -0.0][pick(3, rng)]),
        7 => json!(texts[pick(texts.len(), rng)]),
        8 => [
            json!(null),
            json!([]),
            json!({}),
            json!(true),
            json!(vec![1; 5000]),
        ][pick(5, rng)]
        .clone(),
        _ => json!("x".repeat(100_000)),
    }
}

/// Changes one to three values of a manifest, or takes them away; numbers are small steps at times.
fn mutate(manifest: &mut Value, rng: &mut ChaCha8Rng) {
    for _ in 0..1 + rng.next_u32() % 3 {
        let mut all = Vec::new();
        places(manifest, "", &mut all);
        // Graph specs are most of it; the sizes get their share.
        if rng.next_u32().is_multiple_of(2) {
            all.retain(|place| !place.starts_with("/graphs/"));
        }
        let place = all[rng.next_u32() as usize % all.len()].clone();
        let (parent, name) = place.rsplit_once('/').unwrap_or(("", ""));
        let action = rng.next_u32() % 8;
        if let (0, Some(Value::Object(fields))) = (action, manifest.pointer_mut(parent)) {
            fields.remove(name);
            continue;
        }
        let Some(value) = manifest.pointer_mut(&place) else {
            continue;
        };
        *value = match (action, value.as_i64()) {
            (1 | 2, Some(n)) => json!(n.wrapping_add(1)),
            (3, Some(n)) => json!(n / 2),
            _ => extreme(rng),
        };
    }
}

#[test]
fn mutated_manifests_are_read_or_refused_without_panic_in_little_time_and_memory() {
    let seed = ["fused", "portable"].map(|profile| manifest_of(&tiny(profile)));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let before = peak_memory();
    let mut accepted = 0;
    for i in 0..READ {
        let mut manifest = seed[i % 2].clone();
        mutate(&mut manifest, &mut rng);
        let start = Instant::now();
        match Manifest::from_json(&manifest.to_string()) {
            Ok(_) => accepted += 1,
            Err(error) => assert_is_sentence(&error.to_string()),
        }
        assert!(start.elapsed() < PATIENCE, "{i} took {:?}", start.elapsed());
    }
    assert!(accepted > 0 && accepted < READ / 2, "{accepted} accepted");
    assert_grown_little(before);
}

#[test]
fn what_a_mutated_manifest_still_describes_opens_and_answers_or_is_refused() {
    let runtime = Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime");
    let folder = tempfile::tempdir().expect("a folder");
    copy_model(&tiny("fused"), folder.path());
    let seed = manifest_of(folder.path());
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let before = peak_memory();
    let (mut tried, mut answered) = (0, 0);
    while tried < OPENED {
        let mut manifest = seed.clone();
        mutate(&mut manifest, &mut rng);
        let manifest = manifest.to_string();
        if Manifest::from_json(&manifest).is_err() {
            continue;
        }
        tried += 1;
        fs::write(folder.path().join("manifest.json"), &manifest).expect("written");
        let start = Instant::now();
        match answer(folder.path(), &runtime) {
            Ok(()) => answered += 1,
            Err(error) => assert_is_sentence(&error.to_string()),
        }
        assert!(
            start.elapsed() < PATIENCE,
            "took {:?}: {manifest}",
            start.elapsed()
        );
    }
    assert!(answered > 0, "some changes do no harm");
    assert_grown_little(before);
}

/// Opens the model and asks it in writing and by sound.
fn answer(folder: &Path, runtime: &Runtime) -> mini_omni::Result<()> {
    let mut omni = Omni::load(folder, runtime)?;
    let rate = omni.manifest().mel.sample_rate;
    let sound = mini_omni::Pcm::new(vec![0.1; rate as usize / 4], rate)?;
    for (question, task) in [
        (Question::Text("hi".into()), Task::T1A2),
        (Question::Audio(sound), Task::A1A2),
    ] {
        let mut options = Options::for_task(task);
        options.max_steps = Some(10);
        omni.run(&question, &options)?;
    }
    Ok(())
}

/// One line, and at most a hint from the command line behind it.
fn assert_is_sentence(said: &str) {
    let said = said.split("\nhint: ").next().unwrap_or_default();
    let line = said.len() < 1500 && !said.contains(['\n', '\u{1b}', '\0']);
    assert!(line && said.contains(' '), "{said:?}");
}

fn assert_grown_little(before: Option<u64>) {
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        assert!(
            after - before < GROWTH,
            "grew by {} MiB",
            (after - before) >> 20
        );
    }
}

#[test]
fn absurd_manifests_are_refused_in_a_sentence() {
    let set = |place: &'static str, value: Value| {
        let folder = changed(|m| *m.pointer_mut(place).expect(place) = value.clone());
        let output = ask(folder.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{place} {value}: {said}");
        assert_is_sentence(said.trim_end());
        said
    };
    for (place, value) in [
        ("/decoder/n_layer", json!(1_000_000_000)),
        ("/decoder/max_length", json!(1u64 << 60)),
        ("/decoder/n_head", json!(0)),
        ("/decoder/n_kv_head", json!(0)),
        ("/decoder/n_kv_head", json!(3)),
        ("/decoder/head_size", json!(0)),
        ("/decoder/kv_cache", json!("concat")),
        ("/decoder/n_embd", json!(81)),
        ("/codec/samples_per_frame", json!(1u64 << 40)),
        ("/codec/noise/0/per_frame", json!(1u64 << 50)),
        ("/codec/noise/0/per_frame", json!(33)),
        ("/codec/level_strides/0", json!(u64::MAX)),
        ("/codec/delay_samples", json!(1u64 << 62)),
        ("/codec/sample_rate", json!(4_000_000_000u32)),
        ("/codec/codebook_size", json!(1_000_000)),
        ("/mel/n_fft", json!(1u64 << 40)),
        ("/mel/n_mels", json!(1u64 << 40)),
        ("/mel/n_mels", json!(79)),
        ("/mel/max_seconds", json!(1_000_000_000_000u64)),
        ("/mel/sample_rate", json!(1)),
        ("/mel/feature_ms", json!(21)),
        ("/delays/0", json!(1_000_000_000)),
        ("/ids/text_vocab_size", json!(1u64 << 63)),
        ("/ids/text_vocab_size", json!(385)),
        ("/ids/audio_streams", json!(8)),
        ("/ids/eot", json!(-1)),
        ("/ids/eot", json!(1e308)),
        ("/name", json!("a\u{1b}[2Jb")),
        ("/name", json!("n".repeat(100_000))),
        ("/files/0/name", json!("a\u{0}b")),
        ("/files/0/bytes", json!(u64::MAX)),
        ("/files", json!([])),
        ("/graphs/decoder/file", json!("encoder.onnx")),
        ("/graphs/decoder/file", json!("/dev/zero")),
        ("/graphs/codec_encoder/file", json!("other.onnx")),
        ("/tokenizer", json!("../tokenizer.json")),
        ("/format_version", json!(null)),
    ] {
        set(place, value);
    }
    assert!(set("/codec/samples_per_frame", json!(0)).contains("codec.samples_per_frame is 0"));
    assert!(set("/tokenizer", json!("manifest.json")).contains("does not list it"));
}

#[test]
fn plans_for_the_merged_window_that_cannot_be_are_refused() {
    let manifest = manifest_of(&bundled());
    let of = |plan: Value| {
        let mut manifest = manifest.clone();
        manifest["merged_window"] = plan;
        Manifest::from_json(&manifest.to_string())
    };
    assert!(of(json!({"margin": 0, "kept": [1499]})).is_ok());
    assert!(of(json!({"margin": 1500, "kept": [0, 1, 7, 1499]})).is_ok());
    for (plan, expected) in [
        (json!({"margin": 10, "kept": []}), "ends with nothing"),
        (json!({"margin": 10, "kept": [3, 1498]}), "ends with 1498"),
        (json!({"margin": 10, "kept": [3, 1500]}), "ends with 1500"),
        (json!({"margin": 10, "kept": [5, 3, 1499]}), "3 behind 5"),
        (json!({"margin": 10, "kept": [5, 5, 1499]}), "5 behind 5"),
        (
            json!({"margin": 1501, "kept": [1499]}),
            "merged_window.margin is 1501",
        ),
        (json!({"margin": 10, "kept": [-1, 1499]}), "-1"),
        (json!({"margin": 10, "kept": [0.5, 1499]}), "0.5"),
        (json!({"margin": 10}), "kept"),
        (
            json!({"margin": 10, "kept": [u64::MAX]}),
            "last position is 1499",
        ),
        (json!(null), "rows, which this runtime does not know"),
    ] {
        let refused = of(plan.clone()).expect_err("a refusal").to_string();
        assert!(refused.contains(expected), "{plan}: {refused}");
        assert_is_sentence(&refused);
    }
}

#[test]
fn the_merged_window_of_a_model_without_a_plan_is_refused() {
    let (model, question) = (model(), question());
    let asked = [text(&model), text(&question)];
    let output = mini_omni(&[&["ask"], &asked[..], &["--encoder-window", "merged"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("no plan for a merged encoder window"),
        "{said}"
    );
}

#[test]
fn outputs_and_layers_that_the_manifest_renames_with_the_graph_are_refused() {
    let rename = |folder: &Path, from: &str, to: &str| {
        // Of one length, so that the protobuf stays one.
        assert_eq!(from.len(), to.len());
        let graph = fs::read(folder.join("decoder.onnx")).expect("a graph");
        let mut graph = graph.clone();
        for at in 0..graph.len() - from.len() {
            if &graph[at..at + from.len()] == from.as_bytes() {
                graph[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
        replace(folder, "decoder.onnx", &graph);
        let path = folder.join("manifest.json");
        let manifest = fs::read_to_string(&path).expect("a manifest");
        fs::write(&path, manifest.replace(from, to)).expect("written");
    };
    for (from, to) in [
        ("text_logits", "next_logits"),
        ("audio_logits", "sound_logits"),
        ("present.1.key", "present.9.key"),
        ("past_key_values.0.value", "past_key_values.7.value"),
    ] {
        let folder = changed(|_| ());
        rename(folder.path(), from, to);
        assert_refused(&ask(folder.path()), from);
    }
    let folder = changed(|m| {
        let inputs = m["graphs"]["decoder"]["inputs"]
            .as_array_mut()
            .expect("inputs");
        let key = inputs
            .iter_mut()
            .find(|i| i["name"] == "past_key_values.1.key");
        key.expect("a layer")["shape"][1] = json!(4);
    });
    assert_refused(&ask(folder.path()), "past_key_values.1.key");
}

#[test]
fn doubled_keys_deep_nesting_and_floods_are_no_manifest() {
    let text = fs::read_to_string(model().join("manifest.json")).expect("a manifest");
    let doubled = text.replacen('{', "{\"name\": \"other\",", 1);
    let deep = format!("{{\"format_version\": 1, \"x\": {}", "[".repeat(1_000_000));
    let flood = format!("{text}{}", " ".repeat(5 << 20));
    for (bad, what) in [
        (doubled.as_bytes(), "duplicate field"),
        (deep.as_bytes(), "JSON"),
        (flood.as_bytes(), "bytes"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"", "JSON"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        copy_model(&model(), folder.path());
        fs::write(folder.path().join("manifest.json"), bad).expect("written");
        assert_refused(&ask(folder.path()), what);
    }
    // What a later format adds is no mistake.
    let folder = changed(|m| m["precision"]["kept_in_fp32"] = json!(["a\nb"]));
    assert!(Manifest::load(folder.path()).is_ok());
}

#[test]
fn tokenizers_are_read_or_refused_whatever_is_in_them() {
    let truncated = fs::read(model().join("tokenizer.json")).expect("a tokenizer");
    let folder = changed(|_| ());
    replace(
        folder.path(),
        "tokenizer.json",
        &truncated[..truncated.len() / 3],
    );
    assert_refused(&ask(folder.path()), "tokenizer.json");
    let manifest = Manifest::load(&model()).expect("a manifest");
    let whole: Value = serde_json::from_slice(&truncated).expect("JSON");
    let before = peak_memory();
    let check = |place: &str, value: Value| {
        let mut json = whole.clone();
        json[place] = value;
        let start = Instant::now();
        let text = format!("hi {} {}", "a".repeat(60), "x".repeat(60));
        let result = check_tokenizer(json.to_string().as_bytes(), &manifest, &text);
        assert!(
            start.elapsed() < 3 * PATIENCE,
            "{place} took {:?}",
            start.elapsed()
        );
        if let Err(error) = &result {
            assert_is_sentence(&error.to_string());
        }
        result.is_ok()
    };
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let ten = json!({"type": "Replace", "pattern": {"Regex": "."}, "content": "aaaaaaaaaa"});
    let padding = |key: &str, size: u64| {
        let mut padding = json!({"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"});
        padding[key] = if key == "strategy" {
            json!({"Fixed": size})
        } else {
            json!(size)
        };
        padding
    };
    // Nothing here is the question's; it must be told so, or it changes nothing.
    check("padding", padding("strategy", 1 << 40));
    check("padding", padding("pad_to_multiple_of", 1 << 40));
    check(
        "truncation",
        json!({"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 10}),
    );
    check(
        "pre_tokenizer",
        split("(?=(a+)+b)x|(a|aa)+$(?!q)|(x+x+)+y(?!z)"),
    );
    check("pre_tokenizer", json!({"type": "FixedLength", "length": 0}));
    check(
        "post_processor",
        json!({"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}),
    );
    for (place, value) in [
        (
            "pre_tokenizer",
            split(&format!("{}{}", "(".repeat(100_000), ")".repeat(100_000))),
        ),
        ("pre_tokenizer", split("((a{1000}){1000}){1000}")),
        (
            "normalizer",
            json!({"type": "Sequence", "normalizers": vec![ten; 8]}),
        ),
        (
            "normalizer",
            json!({"type": "Prepend", "prepend": "a".repeat(10_000_000)}),
        ),
        (
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        ),
        ("decoder", json!({"type": "Nonsense"})),
        (
            "model",
            json!({"type": "BPE", "vocab": {"a": 0}, "merges": [["zz", "qq"]]}),
        ),
        (
            "model",
            json!({"type": "BPE", "vocab": {"h": u32::MAX, "i": u32::MAX - 1}, "merges": []}),
        ),
        (
            "model",
            json!({"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]]}),
        ),
        ("model", json!([])),
        (
            "added_tokens",
            json!([{"id": 4_000_000_000u32, "content": "hi", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false}]),
        ),
        ("added_tokens", json!(7)),
        ("version", json!("9")),
    ] {
        assert!(!check(place, value), "{place}");
    }
    assert!(
        check("normalizer", json!({"type": "NFC"})),
        "the test's own tokenizer works"
    );
    assert_grown_little(before);
}

#[test]
fn a_question_of_a_gigabyte_is_refused_before_it_is_read() {
    let manifest = Manifest::load(&model()).expect("a manifest");
    let json = fs::read(model().join("tokenizer.json")).expect("a tokenizer");
    let error = check_tokenizer(&json, &manifest, &"a ".repeat(10 << 20)).expect_err("too long");
    assert_eq!(error.kind(), mini_omni::ErrorKind::TooLong);
}

#[test]
fn data_files_must_be_listed_whole_and_inside_the_folder() {
    let graph = fs::read(model().join("encoder.onnx")).expect("a graph");
    let from = b"encoder.onnx.data";
    for to in [
        &b"../ncoder.nx.data"[..],
        b"/tmp/er.onnx.data",
        b"decoder.onnx.dat_",
        b"encoder.onnx:data",
        b"./e/../../../data",
    ] {
        let mut bad = graph.clone();
        for at in 0..bad.len() - from.len() {
            if &bad[at..at + from.len()] == from {
                bad[at..at + from.len()].copy_from_slice(to);
            }
        }
        let folder = changed(|_| ());
        replace(folder.path(), "encoder.onnx", &bad);
        assert_refused(&ask(folder.path()), "encoder.onnx is no graph");
        let inspected = mini_omni(&["inspect", text(folder.path()), "--verify"]);
        assert_refused(&inspected, "encoder.onnx is no graph");
    }
    let folder = changed(|_| ());
    let data = fs::read(model().join("encoder.onnx.data")).expect("data");
    replace(folder.path(), "encoder.onnx.data", &data[..data.len() / 2]);
    assert_refused(&ask(folder.path()), "it reads");
    let folder = changed(|m| {
        let files = m["files"].as_array_mut().expect("files");
        files.retain(|file| file["name"] != "encoder.onnx.data");
    });
    assert_refused(&ask(folder.path()), "does not list");
}

/// A protobuf field of bytes.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for mut number in [number << 3 | 2, content.len() as u32] {
        while number > 127 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
    out.extend_from_slice(content);
    out
}

#[test]
fn functions_that_double_a_graph_with_every_level_are_refused() {
    let node = |i: usize, from: &str, to: &str| {
        let name = format!("F{i}");
        let texts = [(1, from), (2, to), (4, name.as_str()), (7, "l")];
        field(
            7,
            &texts
                .map(|(number, text)| field(number, text.as_bytes()))
                .concat(),
        )
    };
    let functions = (0..40).map(|i| {
        let names = [
            (1, format!("F{i}")),
            (4, "x".into()),
            (5, "y".into()),
            (10, "l".into()),
        ];
        let names = names
            .map(|(number, text)| field(number, text.as_bytes()))
            .concat();
        field(
            25,
            &[names, node(i + 1, "x", "z"), node(i + 1, "z", "y")].concat(),
        )
    });
    let call = field(1, &node(0, "mel", "more")[2..]);
    let mut graph = fs::read(model().join("encoder.onnx")).expect("a graph");
    graph.extend(functions.flatten());
    graph.extend(field(7, &call)); // graphs of one model are one graph
    let folder = changed(|_| ());
    replace(folder.path(), "encoder.onnx", &graph);
    assert_refused(&ask(folder.path()), "its functions");
}

#[test]
fn verify_tells_what_is_no_part_of_the_model() {
    let folder = changed(|_| ());
    fs::write(folder.path().join("notes.txt"), "x").expect("written");
    let output = mini_omni(&["inspect", text(folder.path()), "--verify"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(said.contains("not listed   notes.txt"), "{said}");
}

#[cfg(unix)]
mod on_unix {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// The model's files, each given a place by `place` and linked to from `folder`.
    fn linked(folder: &Path, place: impl Fn(usize, &str) -> PathBuf) {
        fs::create_dir_all(folder).expect("a folder");
        for (i, entry) in fs::read_dir(model()).expect("a model").enumerate() {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            let there = place(i, &name);
            fs::create_dir_all(there.parent().expect("a folder")).expect("a folder");
            fs::copy(entry.path(), &there).expect("a copy");
            symlink(&there, folder.join(&name)).expect("a link");
        }
    }

    fn assert_answers(folder: &Path) {
        let expected = ask(&model()).stdout;
        let output = ask(folder);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(output.stdout == expected, "the model's own answer");
        let verified = mini_omni(&["inspect", text(folder), "--verify"]);
        assert!(verified.status.success(), "{}", stderr(&verified));
    }

    #[test]
    fn files_that_are_links_to_elsewhere_open() {
        let at = tempfile::tempdir().expect("a folder");
        let top = fs::canonicalize(at.path()).expect("a folder");
        // A hub's cache: all in one folder, under other names.
        let hub = top.join("hub/snapshots/abc");
        linked(&hub, |i, _| top.join(format!("hub/blobs/{i:040x}")));
        assert_answers(&hub);
        // DVC, Nix: each file in a folder of its own, far away.
        let dvc = top.join("dvc");
        linked(&dvc, |i, _| top.join(format!("cache/{i:02}/file")));
        assert_answers(&dvc);
        // The data of one graph alone.
        let one = changed(|_| ());
        let data = one.path().join("decoder.onnx.data");
        fs::rename(&data, top.join("weights")).expect("moved");
        symlink(top.join("weights"), &data).expect("a link");
        assert_answers(one.path());
        // A link to the folder, and a link to that.
        symlink(&hub, top.join("latest")).expect("a link");
        symlink(top.join("latest"), top.join("current")).expect("a link");
        assert_answers(&top.join("current"));
    }

    #[test]
    fn a_mounted_config_map_opens() {
        let at = tempfile::tempdir().expect("a folder");
        copy_model(&model(), &at.path().join("..2026_11_27"));
        symlink("..2026_11_27", at.path().join("..data")).expect("a link");
        for entry in fs::read_dir(model()).expect("a model") {
            let name = entry.expect("an entry").file_name();
            symlink(Path::new("..data").join(&name), at.path().join(&name)).expect("a link");
        }
        assert_answers(at.path());
    }

    #[test]
    fn pipes_devices_folders_and_dead_links_are_refused_at_once() {
        for name in [
            "manifest.json",
            "tokenizer.json",
            "decoder.onnx",
            "decoder.onnx.data",
        ] {
            let folder = changed(|_| ());
            let path = folder.path().join(name);
            fs::remove_file(&path).expect("removed");
            let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
            assert!(made.success());
            assert_refused(&ask(folder.path()), "no regular file");
            fs::remove_file(&path).expect("removed");
            symlink("/dev/zero", &path).expect("a link");
            assert_refused(&ask(folder.path()), "no regular file");
            fs::remove_file(&path).expect("removed");
            symlink("nowhere", &path).expect("a link");
            assert_refused(&ask(folder.path()), "is missing");
            fs::remove_file(&path).expect("removed");
            fs::create_dir(&path).expect("a folder");
            assert_refused(&ask(folder.path()), "no regular file");
        }
    }
}
