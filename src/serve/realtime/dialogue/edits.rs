//! What a client does with items: makes, sees, cuts and takes them.

use std::sync::Arc;

use mini_omni::Pcm;

use super::{Cut, Dialogue, Key, unknown_item};
use crate::serve::realtime::client::{NewItem, Refusal};
use crate::serve::realtime::items::Item;
use crate::serve::realtime::response::Response;
use crate::serve::realtime::server::ServerEvent;

use crate::serve::ids::id;

impl Dialogue {
    /// A client makes an item; its id and its sound, if it has some.
    pub fn create_item(
        &mut self,
        new: NewItem,
        previous: Option<&str>,
    ) -> Result<(String, Option<Arc<Pcm>>), Refusal> {
        let id = id("item_");
        let item = Item::of_client(new, id, self.session.audio.input.format)?;
        let previous = self.items.insert(item.clone(), previous)?;
        let made = (item.id.clone(), item.sound.clone());
        self.tell_item(previous, item);
        Ok(made)
    }

    /// A client wants to see an item.
    pub fn retrieve_item(&mut self, id: &str) -> Result<(), Refusal> {
        let format = self.session.audio.input.format;
        let item = self.items.retrieved(id, format);
        let item = item.ok_or_else(|| unknown_item("item_retrieve_invalid_item_id", id))?;
        self.events.push(ServerEvent::ItemRetrieved { item });
        Ok(())
    }

    /// A client takes an item out.
    pub fn delete_item(&mut self, id: &str) -> Result<(), Refusal> {
        if !self.items.remove(id) {
            return Err(unknown_item("item_delete_invalid_item_id", id));
        }
        self.events.push(ServerEvent::ItemDeleted {
            item_id: id.to_string(),
        });
        Ok(())
    }

    /// Where a client wants to cut an answer, within what there is of it.
    pub fn cut(&self, item_id: &str, audio_end_ms: f64) -> Result<Cut, Refusal> {
        let of_item = |response: &&Response| response.item_id() == item_id;
        let under_way = self
            .responses
            .iter()
            .find(|(_, response)| of_item(response));
        let (answer, samples) = match under_way {
            Some((Key::Session(answer), response)) => (*answer, response.samples),
            _ => {
                let spoken = self.spoken.iter().find(|spoken| spoken.item_id == item_id);
                let spoken =
                    spoken.ok_or_else(|| unknown_item("item_truncate_invalid_item_id", item_id))?;
                (spoken.answer, spoken.samples)
            }
        };
        let rate = f64::from(self.codec_rate) / 1000.0;
        let ms = audio_end_ms.clamp(0.0, samples as f64 / rate);
        Ok(Cut {
            answer,
            samples: (ms * rate) as u64,
            audio_end_ms: ms as u64,
        })
    }

    /// An answer was cut; `heard`: its text up to there, if that is known.
    pub fn truncated(
        &mut self,
        (item_id, content_index): (String, u32),
        cut: &Cut,
        heard: Option<String>,
    ) {
        let mut under_way = self.responses.values_mut();
        if let Some(response) = under_way.find(|response| response.item_id() == item_id) {
            // Its item has no words yet.
            response.heard = heard;
        } else if let (Some(item), Some(heard)) = (self.items.get_mut(&item_id), heard) {
            item.set_transcript(heard);
        }
        self.events.push(ServerEvent::ItemTruncated {
            item_id,
            content_index,
            audio_end_ms: cut.audio_end_ms,
        });
    }
}
