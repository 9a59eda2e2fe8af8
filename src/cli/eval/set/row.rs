//! A row of a set as it was written, and whether a task can be evaluated by it.

use std::path::PathBuf;

use mini_omni::eval::{Rule, quoted};
use mini_omni::{Source, Task};

use super::{Asked, Item, Label, file};

/// A row; what it does not have is `None` or empty.
#[derive(Default)]
pub struct Row {
    pub place: String,
    pub id: Option<String>,
    pub audio: Option<PathBuf>,
    pub question: Option<String>,
    pub text: Option<String>,
    pub answers: Vec<String>,
    pub pattern: Option<String>,
}

impl Row {
    /// The task that the row is made for.
    pub fn task(&self) -> Task {
        match (&self.audio, &self.text) {
            (Some(_), Some(_)) => Task::A1T1,
            (Some(_), None) => Task::A1T2,
            _ => Task::T1T2,
        }
    }

    /// The row as an item of a task, or what it lacks.
    pub fn item(self, task: Task) -> Result<Item, String> {
        let place = self.place.clone();
        self.checked(task)
            .map_err(|fault| format!("{place}: {fault}"))
    }

    fn checked(self, task: Task) -> Result<Item, String> {
        let asked = self.asked(task)?;
        let by_default = match &asked {
            Asked::Sound(path) => path.display().to_string(),
            Asked::Text(text) => text.clone(),
        };
        let label = match task {
            Task::A1T1 => Label::Text(self.transcript()?),
            _ => self.answer(task)?,
        };
        Ok(Item {
            id: self.id.unwrap_or(by_default),
            place: self.place,
            asked,
            label,
        })
    }

    fn asked(&self, task: Task) -> Result<Asked, String> {
        let lacks = |what| format!("the row has no {what}, and {} needs one", task.name());
        match task.source() {
            Source::Audio => {
                let path = self.audio.clone().ok_or_else(|| lacks("audio"))?;
                file::check(&path)?;
                Ok(Asked::Sound(path))
            }
            Source::Text => {
                let text = self.question.clone();
                text.map(Asked::Text).ok_or_else(|| lacks("question"))
            }
        }
    }

    /// Without words there is nothing to measure by.
    fn transcript(&self) -> Result<String, String> {
        let text = self.text.clone();
        let text = text.ok_or("the row has no text, and a1t1 needs one: what is spoken")?;
        let is_empty = |rule: Rule| rule.words(&text).is_empty();
        match [Rule::Whisper, Rule::Original].into_iter().any(is_empty) {
            true => Err(format!(
                "the text {} has no words to count errors by; leave the row out",
                quoted(&text)
            )),
            false => Ok(text),
        }
    }

    fn answer(&self, task: Task) -> Result<Label, String> {
        if self.answers.is_empty() && self.pattern.is_none() {
            let name = task.name();
            return Err(format!(
                "the row has no answer or pattern, and {name} needs one"
            ));
        }
        let label = Label::Answer {
            answers: self.answers.clone(),
            pattern: self.pattern.clone(),
        };
        match label.expected() {
            Ok(_) => Ok(label),
            Err(fault) => Err(fault.to_string()),
        }
    }
}
