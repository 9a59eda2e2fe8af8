//! What a `response.create` asks for.

use mini_omni::session::Reply;
use mini_omni::{Pcm, Question};

use super::{Dialogue, unknown_item};
use crate::serve::realtime::client::{NewItem, Refusal, ResponseParams};
use crate::serve::realtime::config::{self, Format};
use crate::serve::realtime::items::{Item, question_of};
use crate::serve::realtime::response::Outline;

use crate::serve::ids::id;

/// What is to be asked, and what is already known of its answer.
#[derive(Debug)]
pub struct Plan {
    pub outline: Outline,
    /// `None`: there is nothing to answer.
    pub question: Option<Question>,
    pub reply: Reply,
}

impl Dialogue {
    /// What a `response.create` asks for.
    pub fn plan(&mut self, params: ResponseParams) -> Result<Plan, Refusal> {
        let format = self.session.audio.input.format;
        let outside = params.conversation.as_deref() == Some("none");
        let mut outline = self.outline(!outside);
        outline.metadata = params.metadata;
        if let Some(modalities) = params.output_modalities {
            config::spoken(&modalities)?;
            outline.modalities = modalities;
        }
        if let Some(most) = params.max_output_tokens {
            config::check_max_tokens(most)?;
            outline.max_tokens = most;
        }
        if let Some(format) = params.audio.and_then(|audio| audio.output?.format) {
            format.check()?;
            outline.format = format;
        }
        let question = match params.input {
            Some(input) => self.question_of_input(input, format)?,
            None => self.items.question().and_then(question),
        };
        let reply = config::reply(&self.base.reply, &outline.modalities, outline.max_tokens);
        Ok(Plan {
            outline,
            question,
            reply,
        })
    }

    /// The question among items that a client gives with its `response.create`: whole ones, or
    /// references to the conversation's.
    fn question_of_input(
        &mut self,
        input: Vec<NewItem>,
        format: Format,
    ) -> Result<Option<Question>, Refusal> {
        let mut items = Vec::new();
        for new in input {
            let named = new.id.clone().unwrap_or_default();
            items.push(match &*new.kind {
                "item_reference" => {
                    let known = self.items.get(&named).cloned();
                    known.ok_or_else(|| unknown_item("invalid_item_reference", &named))?
                }
                _ => Item::of_client(new, id("item_"), format)?,
            });
        }
        Ok(question_of(&items).and_then(question))
    }

    /// An answer as the session has them.
    pub(super) fn outline(&mut self, in_conversation: bool) -> Outline {
        Outline {
            response_id: id("resp_"),
            item_id: id("item_"),
            conversation_id: in_conversation.then(|| self.conversation_id.clone()),
            modalities: self.session.output_modalities.clone(),
            max_tokens: self.session.max_output_tokens,
            format: self.session.audio.output.format,
            voice: self.session.audio.output.voice.clone(),
            metadata: None,
        }
    }
}

/// An item as a question; `None` if there is nothing in it.
fn question(item: &Item) -> Option<Question> {
    if let Some(sound) = &item.sound {
        return Some(Question::Audio(Pcm::clone(sound)));
    }
    let text = item.text();
    (!text.trim().is_empty()).then_some(Question::Text(text))
}
