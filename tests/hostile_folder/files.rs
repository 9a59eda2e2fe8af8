//! The other files of a folder: tokenizers, graphs and their data.

use super::*;

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
