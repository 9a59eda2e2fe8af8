//! `mini-omni serve`: the server, its model and its end.

mod access;
mod stop;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use mini_omni::{Manifest, Omni, Runtime};
use tokio::net::{TcpListener, TcpSocket};

use super::compute::{Compute, WindowArg, window};
use super::terminal::print;
use crate::serve::{Format, Limits, Model, Settings, Shared, run};

/// Bytes that the system holds for a client that does not read: some seconds of sound, where it would
/// take megabytes by itself.
const UNREAD: u32 = 1 << 18;
/// Connections that wait to be accepted.
const WAITING: u32 = 1024;

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
    /// How much the encoder hears; merged by default where the model has a plan for it, else full
    #[arg(long, value_enum)]
    encoder_window: Option<WindowArg>,
    #[command(flatten)]
    access: access::AccessArgs,
    /// Largest body of a request
    #[arg(long, default_value_t = 32, value_name = "MIB", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    max_body: u16,
    /// Longest recording that is transcribed; questions are as long as the model hears
    #[arg(long, default_value_t = 600, value_name = "SECONDS", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=600))]
    max_recording: u16,
    /// A client that sends nothing it owes, or takes nothing it asked for, is closed after so long
    #[arg(long, default_value_t = 60, value_name = "SECONDS", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    idle_timeout: u16,
    /// How long answers under way may take once the server is told to stop
    #[arg(
        long,
        default_value_t = 30,
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    drain_timeout: u16,
    /// How each request is told on standard error
    #[arg(long, value_enum, default_value_t = LogArg::Text)]
    log: LogArg,
    #[command(flatten)]
    compute: Compute,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogArg {
    /// key=value
    Text,
    /// An object a line
    Json,
}

impl Serve {
    pub fn run(&self) -> Result<ExitCode> {
        // What can be wrong is said before the socket is open.
        let manifest = Manifest::load(&self.model_dir)?;
        let settings = self.settings(&manifest)?;
        let runtime = self.compute.runtime()?;
        tokio::runtime::Runtime::new()
            .context("cannot start the server's threads")?
            .block_on(self.serve(Shared::new(settings), runtime))?;
        Ok(ExitCode::SUCCESS)
    }

    fn settings(&self, manifest: &Manifest) -> Result<Settings> {
        let seconds = |n: u16| Duration::from_secs(n.into());
        Ok(Settings {
            model: name(&self.model_dir),
            window: window(self.encoder_window, manifest)?,
            turns: self.turns.into(),
            access: self.access.access(self.listen)?,
            tls: self.access.tls()?,
            log: match self.log {
                LogArg::Text => Format::Text,
                LogArg::Json => Format::Json,
            },
            limits: Limits {
                conversations: self.conversations.into(),
                body: usize::from(self.max_body) << 20,
                recording: self.max_recording.into(),
                idle: seconds(self.idle_timeout),
                drain: seconds(self.drain_timeout),
            },
        })
    }

    async fn serve(&self, shared: Arc<Shared>, runtime: Runtime) -> Result<()> {
        let stop = stop::sign().context("cannot wait for signals")?;
        let listener = self.bind()?;
        let scheme = shared.settings.tls.as_ref().map_or("http", |_| "https");
        print(&format!(
            "listening on {scheme}://{}\n",
            listener.local_addr()?
        ))?;
        let (folder, loading) = (self.model_dir.clone(), shared.clone());
        let load = tokio::task::spawn_blocking(move || load(&folder, runtime, &loading));
        let serving = tokio::spawn(run(listener, shared, stop));
        load.await.context("loading the model failed")??;
        serving.await.context("the server failed")
    }

    fn bind(&self) -> Result<TcpListener> {
        self.open().map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::AddrInUse => "; --listen takes another port, and port 0 any free one",
                _ => "",
            };
            anyhow::anyhow!("cannot listen on {}: {error}{remedy}", self.listen)
        })
    }

    fn open(&self) -> io::Result<TcpListener> {
        let socket = match self.listen {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A server that was killed is started again at once; on Windows this would share the port.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(UNREAD)?;
        socket.bind(self.listen)?;
        socket.listen(WAITING)
    }
}

fn load(folder: &Path, runtime: Runtime, shared: &Shared) -> Result<()> {
    let omni = Omni::load(folder, &runtime)?;
    let conversations = shared.settings.limits.conversations;
    shared.loaded(Model::new(omni, runtime, conversations)?);
    Ok(())
}

/// The folder's name.
fn name(folder: &Path) -> String {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.into());
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
