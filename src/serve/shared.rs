//! What all connections share: the model, who is being served, and whether the server stops.

use std::sync::{Arc, OnceLock};

use mini_omni::{Manifest, Omni, Runtime, Scheduler};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::refusal::{Reason, Refusal};
use super::settings::Settings;

/// What all connections share.
pub struct Shared {
    /// What was decided at the start.
    pub settings: Settings,
    model: OnceLock<Model>,
    conversations: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

/// The loaded model.
pub struct Model {
    /// Owns it, and answers.
    pub scheduler: Arc<Scheduler>,
    /// For the graphs that a conversation opens itself.
    pub runtime: Runtime,
    /// What the model says of itself.
    pub manifest: Manifest,
}

/// A place among the conversations at once; dropping it makes room.
pub struct Place(#[allow(dead_code)] OwnedSemaphorePermit);

impl Model {
    /// Starts the scheduler. A conversation may have an answer that begins while the one it replaces
    /// has not left yet, so there are two answers to a place.
    pub fn new(omni: Omni, runtime: Runtime, conversations: usize) -> mini_omni::Result<Model> {
        let manifest = omni.manifest().clone();
        let mut limits = mini_omni::Limits::default();
        limits.answers = 2 * conversations;
        Ok(Model {
            scheduler: Arc::new(Scheduler::new(omni, limits)?),
            runtime,
            manifest,
        })
    }
}

impl Shared {
    /// A server whose model is still to come.
    pub fn new(settings: Settings) -> Arc<Shared> {
        Arc::new(Shared {
            conversations: Arc::new(Semaphore::new(settings.limits.conversations)),
            model: OnceLock::new(),
            stopping: watch::channel(false).0,
            settings,
        })
    }

    /// The model is there: questions are answered from now on.
    pub fn loaded(&self, model: Model) {
        let _ = self.model.set(model);
    }

    /// The model, or why nothing can be asked now.
    pub fn model(&self) -> Result<&Model, Refusal> {
        if *self.stopping.borrow() {
            let sentence = "the server is stopping; ask again in a moment";
            return Err(Refusal::new(Reason::Draining, sentence));
        }
        let model = self.model.get().ok_or_else(|| {
            let sentence = "the model is being loaded; ask again in a moment";
            Refusal::new(Reason::Loading, sentence)
        })?;
        if !model.scheduler.is_alive() {
            let sentence = "a thread of the model has died; the server must be started again";
            return Err(Refusal::new(Reason::Dead, sentence));
        }
        Ok(model)
    }

    /// The model and a place among the conversations, or why there is none. At once: nobody queues.
    pub fn admit(&self) -> Result<(&Model, Place), Refusal> {
        let model = self.model()?;
        let place = self.conversations.clone().try_acquire_owned();
        let place = place.map_err(|_| self.full())?;
        Ok((model, Place(place)))
    }

    /// Whether a new conversation would be taken.
    pub fn ready(&self) -> Result<(), Refusal> {
        self.model()?;
        match self.conversations.available_permits() {
            0 => Err(self.full()),
            _ => Ok(()),
        }
    }

    fn full(&self) -> Refusal {
        let sentence = format!(
            "{} conversations are under way, the most at once; ask again later",
            self.settings.limits.conversations
        );
        Refusal::new(Reason::Full, sentence)
    }

    /// Conversations under way.
    pub fn conversations(&self) -> usize {
        self.settings.limits.conversations - self.conversations.available_permits()
    }

    /// Takes no more work; what runs may end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Tells when the server begins to stop: a conversation that goes on by itself ends then.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }
}
