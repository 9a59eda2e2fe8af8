//! Items: the client's own, looked up, cut and deleted.

use super::*;

#[test]
fn metadata_comes_back() {
    let mut dialogue = dialogue();
    let metadata = json!({"client_event_id": "response_create_1"});
    let plan = dialogue
        .plan(params(json!({"metadata": metadata})))
        .expect("a plan");
    dialogue.started(ANSWER, plan.outline);
    dialogue.ended(ANSWER, End::Done(record(Ended::Eoa)));
    for event in told(&mut dialogue) {
        assert_eq!(event["response"]["metadata"], metadata, "{event}");
    }
    let large = json!({"type": "response.create",
        "response": {"metadata": {"key": "x".repeat(513)}}});
    let refused = Received::read(&large.to_string())
        .event
        .expect_err("too large");
    assert_eq!(refused.param.as_deref(), Some("response.metadata.key"));
}

#[test]
fn items_of_the_client_are_acknowledged_where_it_put_them() {
    let mut dialogue = dialogue();
    let item = |id: &str, previous: Option<&str>| {
        json!({"type": "conversation.item.create", "previous_item_id": previous, "item":
            {"id": id, "type": "message", "role": "user",
             "content": [{"type": "input_text", "text": "Hello."}]}})
    };
    let places = [
        ("a", None, Value::Null),
        ("b", Some("root"), Value::Null),
        ("c", Some("b"), json!("b")),
        ("d", None, json!("a")),
    ];
    for (id, previous, before) in places {
        assert_eq!(
            create_item(&mut dialogue, item(id, previous)),
            Ok(id.into())
        );
        let events = told(&mut dialogue);
        assert_eq!(
            names(&events),
            ["conversation.item.added", "conversation.item.done"]
        );
        for event in &events {
            assert_eq!(event["previous_item_id"], before, "{id}");
            assert_eq!(event["item"]["id"], id);
            assert_eq!(event["item"]["status"], "completed");
        }
    }
    let twice = create_item(&mut dialogue, item("a", None));
    assert_eq!(twice, Err("item_create_duplicate_item_id"));
    let nowhere = create_item(&mut dialogue, item("e", Some("x")));
    assert_eq!(nowhere, Err("item_create_invalid_previous_item_id"));
}

#[test]
fn items_that_mini_omni_knows_nothing_of_are_kept() {
    let mut dialogue = dialogue();
    let call = json!({"type": "conversation.item.create", "item": {"type": "function_call_output",
        "call_id": "call_1", "output": "{}"}});
    let id = create_item(&mut dialogue, call).expect("kept");
    let item = &told(&mut dialogue)[0]["item"];
    assert_eq!(
        (&item["id"], &item["call_id"]),
        (&json!(id), &json!("call_1"))
    );
    let image = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_image", "image_url": "data:"}]}});
    assert_eq!(create_item(&mut dialogue, image), Err("invalid_value"));
    let large = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "x".repeat(70_000)}]}});
    assert_eq!(create_item(&mut dialogue, large), Err("item_too_large"));
}

#[test]
fn items_are_retrieved_with_their_sound_and_deleted() {
    let mut dialogue = dialogue();
    let id = dialogue.committed(TurnId(3), question());
    told(&mut dialogue);
    dialogue.retrieve_item(&id).expect("there");
    let item = &told(&mut dialogue)[0]["item"];
    // A second, at 24 kHz, in 16 bits.
    let audio = item["content"][0]["audio"].as_str().map_or(0, base64_bytes);
    assert_eq!(audio, 48_000);
    dialogue.delete_item(&id).expect("there");
    assert_eq!(told(&mut dialogue)[0]["item_id"], id);
    let gone = dialogue.retrieve_item(&id).expect_err("gone");
    assert_eq!(gone.code, "item_retrieve_invalid_item_id");
    let gone = dialogue.delete_item(&id).expect_err("gone");
    assert_eq!(gone.code, "item_delete_invalid_item_id");
}

#[test]
fn a_cut_stays_within_the_answer() {
    let mut dialogue = dialogue();
    let events = answered(&mut dialogue);
    let item = events[6]["item"]["id"].as_str().expect("an id").to_string();
    for (asked, ms, samples) in [
        (500.0, 500, 12_000),
        (-3.0, 0, 0),
        (1e9, 2_000, 48_000),
        (1999.9, 1999, 47_997),
    ] {
        let cut = dialogue.cut(&item, asked).expect("there");
        assert_eq!((cut.answer, cut.audio_end_ms), (AnswerId(1), ms));
        assert_eq!(cut.samples, samples);
    }
    let cut = dialogue.cut(&item, 700.0).expect("there");
    dialogue.truncated((item.clone(), 0), &cut, Some("Par".into()));
    dialogue.retrieve_item(&item).expect("there");
    let events = told(&mut dialogue);
    assert_eq!(
        names(&events),
        ["conversation.item.truncated", "conversation.item.retrieved"]
    );
    assert_eq!(events[0]["audio_end_ms"], 700);
    assert_eq!(events[1]["item"]["content"][0]["transcript"], "Par");
    let unknown = dialogue.cut("item_x", 1.0).expect_err("unknown");
    assert_eq!(unknown.code, "item_truncate_invalid_item_id");
}

#[test]
fn an_answer_that_is_cut_while_it_is_written_keeps_what_was_heard() {
    let mut dialogue = dialogue();
    dialogue.answer_started(AnswerId(1));
    dialogue.text(ANSWER, "Paris is".into());
    dialogue.audio(ANSWER, &[0.1; 24_000]);
    let events = told(&mut dialogue);
    let item = events[1]["item"]["id"].as_str().expect("an id").to_string();
    let cut = dialogue.cut(&item, 700.0).expect("there");
    dialogue.truncated((item.clone(), 0), &cut, Some("Paris".into()));
    dialogue.text(ANSWER, " far.".into());
    dialogue.ended(ANSWER, End::Done(record(Ended::Eoa)));
    told(&mut dialogue);
    dialogue.retrieve_item(&item).expect("there");
    let kept = &told(&mut dialogue)[0]["item"];
    assert_eq!(kept["content"][0]["transcript"], "Paris");
    assert_eq!(kept["status"], "completed");
}

#[test]
fn an_item_that_is_deleted_while_it_is_written_is_not_told_as_done() {
    let mut dialogue = dialogue();
    dialogue.answer_started(AnswerId(1));
    dialogue.text(ANSWER, "Paris".into());
    let events = told(&mut dialogue);
    let item = events[1]["item"]["id"].as_str().expect("an id").to_string();
    dialogue.delete_item(&item).expect("there");
    dialogue.ended(ANSWER, End::Done(record(Ended::Eoa)));
    let events = told(&mut dialogue);
    assert!(!names(&events).contains(&"conversation.item.done"));
    assert!(
        names(&events).ends_with(&["response.done"]),
        "the response goes on"
    );
    assert!(dialogue.retrieve_item(&item).is_err());
}
