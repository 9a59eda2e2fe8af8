//! A server of its own for a test, and a client that can misbehave.

#![allow(dead_code)] // each test file uses its part

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpSocket;

/// How long anything may take before a test fails; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that a client which does not read lets the server send, about.
const SMALL: u32 = 4096;
/// What the random model talks about for a minute.
pub const LONG_ANSWER: &str =
    r#"{"stream":true,"modalities":["text","audio"],"messages":[{"role":"user","content":"ee"}]}"#;

/// A server of its own; killed when dropped.
pub struct Server {
    pub process: Child,
    pub address: SocketAddr,
    /// Lines on standard error.
    log: Receiver<String>,
}

impl Server {
    /// Started and ready.
    pub fn start(model: &std::path::Path, options: &[&str]) -> Server {
        Server::start_at(model, ([127, 0, 0, 1], 0).into(), options)
    }

    /// The same, at this address.
    pub fn start_at(model: &std::path::Path, address: SocketAddr, options: &[&str]) -> Server {
        let server = Server::listening_at(model, address, options, &[]);
        server.wait_until("ready", || server.get("/readyz").status == 200);
        server
    }

    /// Started, and as far as its socket is open.
    pub fn listening(model: &std::path::Path, options: &[&str], env: &[(&str, &str)]) -> Server {
        Server::listening_at(model, ([127, 0, 0, 1], 0).into(), options, env)
    }

    fn listening_at(
        model: &std::path::Path,
        address: SocketAddr,
        options: &[&str],
        env: &[(&str, &str)],
    ) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini-omni"));
        command.arg("serve").arg(model);
        command.args(["--listen", &address.to_string()]);
        command
            .args(options)
            .env_remove("MINI_OMNI_TOKEN")
            .envs(env.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary runs");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let Some((_, address)) = line.trim().split_once("://") else {
            let output = process.wait_with_output().expect("it has ended");
            panic!("{line}{}", String::from_utf8_lossy(&output.stderr));
        };
        let (lines, log) = channel();
        let stderr = BufReader::new(process.stderr.take().expect("a pipe"));
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(lines.send(line)));
        });
        Server {
            address: address.parse().expect("an address"),
            process,
            log,
        }
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.ask("POST", path, &[], body.as_bytes())
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut socket = self.connect();
        // A refusal may come before all is written.
        let _ = socket.write_all(&request(method, path, headers, body));
        Reply::read(socket)
    }

    /// Uploads a form.
    pub fn form(&self, path: &str, file: &[u8], fields: &[(&str, &str)]) -> Reply {
        let mut body = Vec::new();
        for (name, value) in fields {
            let head = format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            body.extend([head.as_bytes(), value.as_bytes(), b"\r\n"].concat());
        }
        let head = "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        body.extend([head.as_bytes(), file, b"\r\n--cut--\r\n"].concat());
        let kind = ("Content-Type", "multipart/form-data; boundary=cut");
        self.ask("POST", path, &[kind], &body)
    }

    /// A client that has asked for a long answer and does not read it: the answer keeps its place.
    pub fn stalled(&self) -> TcpStream {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(SMALL)?;
            socket.connect(self.address).await?.into_std()
        };
        let connected = runtime.expect("a runtime").block_on(connect);
        let mut socket = connected.expect("a connection");
        socket.set_nonblocking(false).expect("a socket that waits");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let ask = request("POST", "/v1/chat/completions", &[], LONG_ANSWER.as_bytes());
        socket.write_all(&ask).expect("asked");
        self.wait_until("asked", || self.metric("mini_omni_conversations") == 1.0);
        socket
    }

    /// A number at `/metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .expect("a number")
    }

    pub fn wait_until(&self, what: &str, is: impl Fn() -> bool) {
        let start = Instant::now();
        while !is() {
            assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
            sleep(Duration::from_millis(10));
        }
    }

    /// The next line of the log that says this.
    pub fn logged(&self, what: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect("a line");
            if line.contains(what) {
                return line;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    pub fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("a status") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain for its end");
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head += "Host: localhost\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads until the server closes.
    pub fn read(mut from: impl Read) -> Reply {
        let mut bytes = Vec::new();
        let mut piece = [0; 1 << 16];
        while let Ok(n @ 1..) = from.read(&mut piece) {
            bytes.extend_from_slice(&piece[..n]);
        }
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = bytes.split_off(end + 4);
        Reply {
            status: status.expect("a status"),
            body: match head.contains("transfer-encoding: chunked") {
                true => unchunked(&body),
                false => body,
            },
            head,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The server-sent events, but for the mark of the end.
    pub fn events(&self) -> Vec<Value> {
        let text = self.text();
        let events = text
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "));
        let events = events.filter(|event| *event != "[DONE]");
        events
            .map(|event| serde_json::from_str(event).expect("JSON"))
            .collect()
    }

    /// It must be a refusal with this status and this code, in a sentence.
    pub fn assert_refused(&self, status: u16, code: &str) {
        let error = &self.json()["error"];
        assert_eq!(
            (self.status, error["code"].as_str()),
            (status, Some(code)),
            "{error}"
        );
        let sentence = error["message"].as_str().expect("a sentence");
        assert!(sentence.split(' ').count() > 3, "{sentence}");
        assert!(
            error["type"].is_string() && error.get("param").is_some(),
            "{error}"
        );
    }
}

/// The body without the lengths of its pieces. The last piece must be there.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = body
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("a length");
        let length = std::str::from_utf8(&body[..line]).expect("a length");
        let length = usize::from_str_radix(length, 16).expect("a length");
        body = &body[line + 2..];
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[..length]);
        body = &body[length + 2..];
    }
}
