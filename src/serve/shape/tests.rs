//! Values that have their shape, and the sentences for those that have not.

use serde_json::json;

use super::*;

const PART: Shape = Shape::Open(&[needed("type", Shape::Text), optional("text", Shape::Text)]);
const BODY: Shape = Shape::Object(&[
    needed("id", Shape::Id),
    optional("parts", Shape::List(&PART)),
    optional("stream", Shape::Truth),
    optional("seed", Shape::Whole),
    optional("rate", Shape::Number),
    optional(
        "most",
        Shape::Either(&[Shape::Count, Shape::Word(&["inf"])]),
    ),
    optional(
        "turn",
        Shape::Typed(&[("by_hand", Shape::Object(&[])), ("vad", Shape::Any)]),
    ),
    optional("labels", Shape::Labels),
]);

/// A value of a shape; fields that may be left away are there if `all`, and else null.
pub fn sample(shape: &Shape, all: bool) -> Value {
    let object = |fields: &[Field]| -> Map<String, Value> {
        let value = |field: &Field| match field.needed || all {
            true => sample(&field.shape, all),
            false => Value::Null,
        };
        let pairs = fields.iter().map(|f| (f.name.to_string(), value(f)));
        pairs.collect()
    };
    match shape {
        Shape::Any | Shape::Text | Shape::Id => json!(""),
        Shape::Number | Shape::Whole | Shape::Count => json!(1),
        Shape::Truth => json!(true),
        Shape::Word(words) => json!(words[0]),
        Shape::List(shape) => json!([sample(shape, all)]),
        Shape::Object(fields) | Shape::Open(fields) => object(fields).into(),
        Shape::Typed(kinds) => {
            let mut value = sample(&kinds[0].1, all);
            value["type"] = kinds[0].0.into();
            value
        }
        Shape::Labels => json!({"key": "label"}),
        Shape::Either(shapes) => sample(&shapes[0], all),
    }
}

fn wrong_with(value: Value) -> (&'static str, String, String) {
    let wrong = BODY.check("", &value).expect_err("it is wrong");
    (wrong.code, wrong.path, wrong.sentence)
}

#[test]
fn what_has_its_shape_is_taken() {
    for all in [true, false] {
        assert_eq!(BODY.check("", &sample(&BODY, all)), Ok(()));
    }
    for good in [
        json!({"id": "x"}),
        json!({"id": "x", "parts": null, "labels": null, "turn": null}),
        json!({"id": "x", "parts": [{"type": "a", "other": 1}], "most": "inf", "seed": -3, "rate": 0.5}),
        json!({"id": "x", "turn": {"type": "vad"}}),
    ] {
        assert_eq!(BODY.check("", &good), Ok(()), "{good}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_path_in_the_words_of_json() {
    let with = |field: &str, value: Value| json!({"id": "x", field: value});
    let cases = [
        (
            json!([]),
            "invalid_type",
            "",
            "the JSON is an array, not an object",
        ),
        (
            json!({}),
            "missing_required_parameter",
            "id",
            "id is needed and is missing",
        ),
        (
            json!({"id": null}),
            "invalid_type",
            "id",
            "id is null, not a string",
        ),
        (
            with("voice", json!(1)),
            "unknown_parameter",
            "voice",
            "voice is not known; the fields are id, parts, stream, seed, rate, most, turn, labels",
        ),
        (
            with("parts", json!([{"type": "a"}, {"type": "a", "text": 5}])),
            "invalid_type",
            "parts[1].text",
            "parts[1].text is 5, not a string",
        ),
        (
            with("parts", json!({})),
            "invalid_type",
            "parts",
            "parts is an object, not an array",
        ),
        (
            with("stream", json!("yes")),
            "invalid_type",
            "stream",
            "stream is \"yes\", not true or false",
        ),
        (
            with("seed", json!(1.5)),
            "invalid_value",
            "seed",
            "seed is 1.5, not a whole number",
        ),
        (
            with("most", json!(-1)),
            "invalid_value",
            "most",
            "most is -1, not a whole number from 0 on",
        ),
        (
            with("most", json!("all")),
            "invalid_value",
            "most",
            "most is \"all\", not \"inf\"",
        ),
        (
            with("most", json!([])),
            "invalid_type",
            "most",
            "most is an array, not a whole number from 0 on or \"inf\"",
        ),
        (
            with("turn", json!({})),
            "missing_required_parameter",
            "turn.type",
            "turn.type is needed and is missing",
        ),
        (
            with("turn", json!({"type": "by_eye"})),
            "invalid_value",
            "turn.type",
            "turn.type is \"by_eye\", not \"by_hand\" or \"vad\"",
        ),
        (
            with("turn", json!({"type": "by_hand", "x": 1})),
            "unknown_parameter",
            "turn.x",
            "turn.x is not known; there are no fields here",
        ),
        (
            with("labels", json!({"n": 1})),
            "invalid_type",
            "labels.n",
            "labels.n is 1, not a string",
        ),
    ];
    for (value, code, path, sentence) in cases {
        let expected = (code, path.to_string(), sentence.to_string());
        assert_eq!(wrong_with(value), expected);
    }
}

#[test]
fn ids_and_metadata_are_bounded() {
    let id = |n: usize| json!({"id": "ü".repeat(n)});
    assert_eq!(BODY.check("", &id(512)), Ok(()));
    assert_eq!(
        wrong_with(id(513)).2,
        "id has 513 characters, and at most 512 are taken"
    );
    let labels = |n: usize, key: usize, value: usize| {
        let label = |i: usize| (format!("{i:0key$}"), json!("v".repeat(value)));
        json!({"id": "x", "labels": (0..n).map(label).collect::<Map<_, _>>()})
    };
    assert_eq!(BODY.check("", &labels(16, 64, 512)), Ok(()));
    let refused = |n, key, value| wrong_with(labels(n, key, value)).2;
    assert_eq!(
        refused(17, 2, 1),
        "labels has 17 keys, and at most 16 are taken"
    );
    assert_eq!(
        refused(1, 65, 1),
        "a key of labels has 65 characters, and at most 64 are taken"
    );
    assert_eq!(
        refused(1, 1, 513),
        "labels.0 has 513 characters, and at most 512 are taken"
    );
}

#[test]
fn a_long_word_is_not_repeated_whole() {
    let (_, path, sentence) = wrong_with(json!({"id": "x", "x".repeat(9999): 1}));
    assert!(
        path.chars().count() == 65 && sentence.len() < 200,
        "{sentence}"
    );
}
