//! How answers end, and what is told of those that fail.

use super::*;

#[test]
fn an_answer_that_was_spoken_into_says_so() {
    let mut dialogue = dialogue();
    dialogue.answer_started(AnswerId(1));
    dialogue.text(ANSWER, "Paris is".into());
    dialogue.audio(ANSWER, &[0.1; 2_048]);
    dialogue.speech_started(TurnId(1), 3_000.0);
    dialogue.interrupted(AnswerId(1), "Paris".into());
    dialogue.ended(
        ANSWER,
        End::Cut(record(Ended::Cancelled), Reason::ClientCancelled),
    );
    let events = told(&mut dialogue);
    let done = &events.last().expect("an end")["response"];
    assert_eq!(done["status"], "cancelled");
    assert_eq!(
        done["status_details"],
        json!({"type": "cancelled", "reason": "turn_detected", "error": null})
    );
    assert_eq!(done["output"][0]["status"], "incomplete");
    let item = done["output"][0]["id"].as_str().expect("an id");
    dialogue.retrieve_item(item).expect("there");
    let kept = &told(&mut dialogue)[0]["item"];
    assert_eq!(kept["content"][0]["transcript"], "Paris", "as it was heard");
}

#[test]
fn an_answer_that_was_cancelled_says_so() {
    let mut dialogue = dialogue();
    let nothing = dialogue.cancel(None).expect_err("no answer");
    assert_eq!(nothing.code, "response_cancel_not_active");
    assert!(nothing.message.starts_with("Cancellation failed"));
    dialogue.answer_started(AnswerId(1));
    assert!(dialogue.cancel(Some("resp_x")).is_err());
    assert!(dialogue.is_answering() && !dialogue.is_cutting());
    assert_eq!(dialogue.cancel(None).expect("under way"), ANSWER);
    assert!(dialogue.is_cutting());
    dialogue.ended(
        ANSWER,
        End::Cut(record(Ended::Cancelled), Reason::ClientCancelled),
    );
    assert!(!dialogue.is_answering());
    let events = told(&mut dialogue);
    assert_eq!(
        names(&events),
        ["response.created", "response.done"],
        "nothing was said"
    );
    let response = &events[1]["response"];
    assert_eq!(response["status_details"]["reason"], "client_cancelled");
    assert_eq!(response["output"], json!([]));
}

#[test]
fn other_ends_have_their_reasons() {
    let unwilling = ErrorBody::server("busy", "too many");
    let ends = [
        (
            End::Done(record(Ended::Limit)),
            "incomplete",
            json!("max_output_tokens"),
            json!(null),
        ),
        (
            End::Done(record(Ended::NoSpeech)),
            "failed",
            json!(null),
            json!("no_speech"),
        ),
        (End::Failed(unwilling), "failed", json!(null), json!("busy")),
    ];
    for (end, status, reason, code) in ends {
        let mut dialogue = dialogue();
        dialogue.answer_started(AnswerId(1));
        dialogue.ended(ANSWER, end);
        let events = told(&mut dialogue);
        let response = &events[1]["response"];
        assert_eq!(response["status"], status);
        assert_eq!(response["status_details"]["type"], status);
        assert_eq!(response["status_details"]["reason"], reason);
        assert_eq!(response["status_details"]["error"]["code"], code);
        assert!(response["usage"]["output_token_details"].is_object());
    }
}

#[test]
fn a_written_answer_has_text_alone() {
    let mut dialogue = dialogue();
    let plan = dialogue
        .plan(params(json!({"output_modalities": ["text"]})))
        .expect("a plan");
    assert!(!plan.reply.spoken);
    dialogue.started(ANSWER, plan.outline);
    dialogue.text(ANSWER, "Paris.".into());
    dialogue.ended(ANSWER, End::Done(record(Ended::Eot)));
    let events = told(&mut dialogue);
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events[3]["part"], json!({"type": "text", "text": ""}));
    let item = &events[9]["response"]["output"][0];
    assert_eq!(
        item["content"],
        json!([{"type": "output_text", "text": "Paris."}])
    );
    let id = item["id"].as_str().expect("an id");
    assert!(dialogue.cut(id, 1.0).is_err(), "there is no sound to cut");
}

#[test]
fn the_last_question_is_the_one_that_is_answered() {
    let mut dialogue = dialogue();
    let nothing = dialogue.plan(ResponseParams::default()).expect("a plan");
    assert!(nothing.question.is_none());
    dialogue.committed(TurnId(1), question());
    let spoken = dialogue.plan(ResponseParams::default()).expect("a plan");
    assert!(matches!(spoken.question, Some(Question::Audio(_))));
    let text = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "Hello."}]}});
    create_item(&mut dialogue, text).expect("an item");
    let written = dialogue.plan(ResponseParams::default()).expect("a plan");
    assert!(matches!(written.question, Some(Question::Text(text)) if text == "Hello."));
}

#[test]
fn an_answer_beside_the_conversation_leaves_no_item() {
    let mut dialogue = dialogue();
    let id = dialogue.committed(TurnId(1), question());
    told(&mut dialogue);
    let own = json!({"conversation": "none", "input": [{"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "Which?"}]}]});
    let plan = dialogue.plan(params(own)).expect("a plan");
    assert!(matches!(plan.question, Some(Question::Text(_))));
    let key = Key::Beside(0);
    dialogue.started(key, plan.outline);
    dialogue.text(key, "That.".into());
    assert!(
        !dialogue.is_answering(),
        "another may be asked in the conversation"
    );
    dialogue.ended(key, End::Done(record(Ended::Eoa)));
    let events = told(&mut dialogue);
    assert!(
        names(&events)
            .iter()
            .all(|name| name.starts_with("response."))
    );
    assert_eq!(events[0]["response"]["conversation_id"], Value::Null);
    let referred = json!({"conversation": "none", "input": [{"type": "item_reference", "id": id}]});
    let plan = dialogue.plan(params(referred)).expect("a plan");
    assert!(matches!(plan.question, Some(Question::Audio(_))));
    let unknown = json!({"input": [{"type": "item_reference", "id": "item_x"}]});
    let refused = dialogue.plan(params(unknown)).expect_err("unknown");
    assert_eq!(refused.code, "invalid_item_reference");
    let empty = dialogue.plan(params(json!({"input": []}))).expect("a plan");
    assert!(empty.question.is_none(), "no input is no question");
}

#[test]
fn a_failure_to_begin_is_an_answer_that_failed() {
    let mut dialogue = dialogue();
    let plan = dialogue
        .plan(params(json!({"metadata": {"a": "b"}})))
        .expect("a plan");
    dialogue.failed(
        plan.outline,
        ErrorBody::invalid("no_question", "there is none"),
    );
    let events = told(&mut dialogue);
    assert_eq!(names(&events), ["response.created", "response.done"]);
    assert_eq!(events[0]["response"]["metadata"], json!({"a": "b"}));
    assert_eq!(
        events[1]["response"]["status_details"]["error"]["code"],
        "no_question"
    );
}

#[test]
fn an_error_names_the_clients_event() {
    let mut dialogue = dialogue();
    let received = Received::read(r#"{"type": "session.explode", "event_id": "e7"}"#);
    let refusal = received.event.expect_err("unknown");
    dialogue.refuse(received.event_id, *refusal);
    let events = told(&mut dialogue);
    assert_eq!(events[0]["error"]["event_id"], "e7");
    assert_eq!(events[0]["error"]["type"], "invalid_request_error");
    assert_eq!(events[0]["error"]["param"], "type");
}

#[test]
fn what_was_said_is_written_down() {
    let mut dialogue = dialogue();
    let id = dialogue.committed(TurnId(1), question());
    told(&mut dialogue);
    dialogue.transcript_delta(&id, "What ".into());
    dialogue.transcribed(id.clone(), "What is it?".into(), 1.0);
    dialogue.retrieve_item(&id).expect("there");
    let events = told(&mut dialogue);
    assert_eq!(events[0]["delta"], "What ");
    assert_eq!(events[1]["transcript"], "What is it?");
    assert_eq!(
        events[1]["usage"],
        json!({"type": "duration", "seconds": 1.0})
    );
    assert_eq!(events[2]["item"]["content"][0]["transcript"], "What is it?");
}
