//! Manifests: mutated, absurd, and at odds with their graphs.

use super::*;

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
