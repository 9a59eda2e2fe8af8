//! `mini-omni serve`: the server, its model and its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use mini_omni::{Omni, Runtime};
use tokio::net::TcpListener;

use super::compute::{Compute, WindowArg};
use super::terminal::print;
use crate::serve::{Limits, Model, Settings, Shared, run};

#[derive(Args)]
pub struct Serve {
    /// The model folder
    #[arg(value_name = "MODEL")]
    model_dir: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8910")]
    listen: SocketAddr,
    /// Conversations at once; more are refused at once
    #[arg(long, default_value_t = 8, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    conversations: u16,
    /// Turns that a conversation remembers. The published weights were trained on single turns
    #[arg(long, default_value_t = 1, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    turns: u16,
    /// How much the encoder hears: its full window, or only the clip
    #[arg(long, value_enum, default_value_t = WindowArg::Full)]
    encoder_window: WindowArg,
    #[command(flatten)]
    compute: Compute,
}

impl Serve {
    pub fn run(&self) -> Result<ExitCode> {
        let runtime = self.compute.runtime()?;
        let shared = Shared::new(self.settings());
        tokio::runtime::Runtime::new()
            .context("cannot start the server's threads")?
            .block_on(self.serve(shared, runtime))?;
        Ok(ExitCode::SUCCESS)
    }

    fn settings(&self) -> Settings {
        Settings {
            model: name(&self.model_dir),
            window: self.encoder_window.into(),
            turns: self.turns.into(),
            limits: Limits {
                conversations: self.conversations.into(),
                ..Limits::default()
            },
        }
    }

    async fn serve(&self, shared: Arc<Shared>, runtime: Runtime) -> Result<()> {
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        print(&format!("listening on http://{}\n", listener.local_addr()?))?;
        let (folder, loading) = (self.model_dir.clone(), shared.clone());
        let load = tokio::task::spawn_blocking(move || load(&folder, runtime, &loading));
        let serving = tokio::spawn(run(listener, shared, stop()));
        load.await.context("loading the model panicked")??;
        Ok(serving.await?)
    }
}

async fn stop() {
    let _ = tokio::signal::ctrl_c().await;
}

fn load(folder: &Path, runtime: Runtime, shared: &Shared) -> Result<()> {
    let omni = Omni::load(folder, &runtime)?;
    shared.loaded(Model::new(
        omni,
        runtime,
        shared.settings.limits.conversations,
    )?);
    Ok(())
}

/// The folder's name.
fn name(folder: &Path) -> String {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.into());
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
