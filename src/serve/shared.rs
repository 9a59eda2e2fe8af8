//! What all connections share: the model, who is being served, and whether the server stops.

use std::sync::{Arc, OnceLock};

use mini_omni::{Manifest, Omni, Runtime, Scheduler};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::metrics::Metrics;
use super::refusal::{Reason, Refusal};
use super::settings::Settings;

/// Bodies that are received at once for each conversation: a client that sends slowly keeps no
/// conversation waiting, and memory is bounded.
const UPLOADS_A_CONVERSATION: usize = 4;

/// What all connections share.
pub struct Shared {
    /// What was decided at the start.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Metrics,
    model: OnceLock<Arc<Model>>,
    conversations: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
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
pub struct Place {
    /// What answers. It stays while the server stops.
    pub model: Arc<Model>,
    _permit: OwnedSemaphorePermit,
}

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

impl Model {
    /// Seconds of a question that it hears.
    pub fn hears(&self) -> f64 {
        self.manifest.mel.max_seconds as f64
    }
}

impl Shared {
    /// A server whose model is still to come.
    pub fn new(settings: Settings) -> Arc<Shared> {
        Arc::new(Shared {
            conversations: Arc::new(Semaphore::new(settings.limits.conversations)),
            uploads: Arc::new(Semaphore::new(
                UPLOADS_A_CONVERSATION * settings.limits.conversations,
            )),
            metrics: Metrics::new(),
            model: OnceLock::new(),
            stopping: watch::channel(false).0,
            settings,
        })
    }

    /// The model is there: questions are answered from now on.
    pub fn loaded(&self, model: Model) {
        let _ = self.model.set(Arc::new(model));
    }

    /// The model, or why nothing can be asked now.
    pub fn model(&self) -> Result<&Arc<Model>, Refusal> {
        if *self.stopping.borrow() {
            return Err(self.draining());
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

    /// A place among the conversations, or why there is none. At once: nobody queues.
    pub fn admit(&self) -> Result<Place, Refusal> {
        let model = self.model()?.clone();
        let permit = self.conversations.clone().try_acquire_owned();
        Ok(Place {
            model,
            _permit: permit.map_err(|_| self.full())?,
        })
    }

    /// A place among the bodies that are received at once.
    pub fn upload(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.uploads.clone().try_acquire_owned().map_err(|_| {
            let sentence =
                "as many questions are being received as there is room for; ask again later";
            Refusal::new(Reason::Full, sentence)
        })
    }

    /// Whether a new conversation would be taken.
    pub fn ready(&self) -> Result<(), Refusal> {
        self.model()?;
        match self.conversations.available_permits() {
            0 => Err(self.full()),
            _ => Ok(()),
        }
    }

    /// Why nothing new is taken once the server stops.
    pub fn draining(&self) -> Refusal {
        let sentence = "the server is stopping; ask again in a moment";
        Refusal::new(Reason::Draining, sentence)
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

    /// Answers that the model is writing.
    pub fn answers(&self) -> usize {
        self.model
            .get()
            .map_or(0, |model| model.scheduler.answers())
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
