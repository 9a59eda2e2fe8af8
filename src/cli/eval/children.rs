//! Commands that are bounded in time and in what they print, each with all that it starts.
//!
//! On Unix a command leads a group of processes, and the group is ended as a whole: behind its leader,
//! at a bound, and when this program is told to end. A process that leaves its group is not found.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at whether a command has ended.
const POLL: Duration = Duration::from_millis(10);
/// Of what a command says on standard error, the end is kept.
const KEPT: usize = 4096;

/// How long a command may run, and how much it may print.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub time: Duration,
    pub bytes: usize,
}

/// What came of a command.
pub enum Outcome {
    Ended {
        status: ExitStatus,
        printed: Vec<u8>,
        /// The end of what it said on standard error.
        said: Vec<u8>,
    },
    TooLong,
    TooMuch,
}

/// The commands under way.
#[derive(Default)]
pub struct Children(Mutex<Running>);

#[derive(Default)]
struct Running {
    leaders: BTreeSet<u32>,
    /// Nothing more may start.
    ended: bool,
}

/// A command under way. It ends with this, and so does what it started.
struct Group<'a> {
    leader: Child,
    children: &'a Children,
}

impl Children {
    /// Runs a command without input to its end or to a bound.
    pub fn run(&self, command: &mut Command, bounds: Bounds) -> io::Result<Outcome> {
        let until = Instant::now() + bounds.time;
        let mut group = self.start(command)?;
        let most = bounds.bytes;
        let printed = collected(group.leader.stdout.take(), move |pipe| {
            first(pipe, most + 1)
        });
        let said = collected(group.leader.stderr.take(), last);
        let mut heard = None;
        while !has_ended(&mut group.leader)? {
            heard = heard.or_else(|| printed.recv_timeout(POLL).ok());
            match &heard {
                Some(bytes) if bytes.len() > most => return Ok(Outcome::TooMuch),
                Some(_) => std::thread::sleep(POLL),
                None => {}
            }
            if Instant::now() > until {
                return Ok(Outcome::TooLong);
            }
        }
        let status = group.end()?;
        // What left the group may hold the pipes open.
        let rest = |bytes: &Receiver<Vec<u8>>| {
            let left = until.saturating_duration_since(Instant::now());
            bytes.recv_timeout(left.max(POLL)).ok()
        };
        Ok(match heard.or_else(|| rest(&printed)) {
            None => Outcome::TooLong,
            Some(bytes) if bytes.len() > most => Outcome::TooMuch,
            Some(printed) => Outcome::Ended {
                status,
                printed,
                said: rest(&said).unwrap_or_default(),
            },
        })
    }

    /// Ends all commands under way; later ones do not start.
    pub fn end(&self) {
        let mut running = self.running();
        running.ended = true;
        running.leaders.iter().for_each(|leader| end_group(*leader));
    }

    fn start(&self, command: &mut Command) -> io::Result<Group<'_>> {
        let mut running = self.running();
        if running.ended {
            return Err(io::Error::other("this program is ending"));
        }
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let leader = leading(piped.stderr(Stdio::piped())).spawn()?;
        running.leaders.insert(leader.id());
        Ok(Group {
            leader,
            children: self,
        })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group<'_> {
    /// Ends what is left of the group. Its number is the leader's and stays its own until the leader is
    /// waited for.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let mut running = self.children.running();
        if running.leaders.remove(&self.leader.id()) {
            end_group(self.leader.id());
            // Where there are no groups; it may have ended.
            let _ = self.leader.kill();
        }
        self.leader.wait()
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// What a thread of its own reads from a pipe, so that the command is never kept waiting.
fn collected<R: Read + Send + 'static>(
    pipe: Option<R>,
    read: impl FnOnce(R) -> Vec<u8> + Send + 'static,
) -> Receiver<Vec<u8>> {
    let (sender, bytes) = channel();
    std::thread::spawn(move || sender.send(pipe.map(read).unwrap_or_default()));
    bytes
}

/// As much as could be read.
fn first(pipe: impl Read, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.take(most as u64).read_to_end(&mut bytes);
    bytes
}

fn last(mut pipe: impl Read) -> Vec<u8> {
    let (mut bytes, mut piece) = (Vec::new(), [0; KEPT]);
    while let Ok(n @ 1..) = pipe.read(&mut piece) {
        bytes.extend_from_slice(&piece[..n]);
        bytes.drain(..bytes.len().saturating_sub(KEPT));
    }
    bytes
}

/// The command as the leader of a group of its own.
#[cfg(unix)]
fn leading(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    command.process_group(0)
}

#[cfg(not(unix))]
fn leading(command: &mut Command) -> &mut Command {
    command
}

/// Whether a leader has ended; it is not waited for yet.
#[cfg(unix)]
fn has_ended(leader: &mut Child) -> io::Result<bool> {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(Pid::from_child(leader)), look)?.is_some())
}

#[cfg(not(unix))]
fn has_ended(leader: &mut Child) -> io::Result<bool> {
    Ok(leader.try_wait()?.is_some())
}

#[cfg(unix)]
fn end_group(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(leader) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // All of it may have ended.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

/// Elsewhere a program's children are not found by it.
#[cfg(not(unix))]
fn end_group(_: u32) {}
