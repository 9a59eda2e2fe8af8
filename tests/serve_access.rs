//! Who may ask the server, how it is reached, and what it makes of garbage.
#![cfg(feature = "serve")]

mod common;
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use common::*;
use server::*;

const ASK: &str = r#"{"messages":[{"role":"user","content":"x"}]}"#;

fn status(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    server.ask(method, path, headers, b"").status
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "s3cret\n").expect("written");
    let by_file = Server::start(&model(), &["--token-file", text(&file)]);
    let by_variable = Server::listening(&model(), &[], &[("MINI_OMNI_TOKEN", "s3cret")]);
    for server in [by_file, by_variable] {
        let ask = |headers: &[_]| server.ask("GET", "/v1/models", headers, b"");
        ask(&[]).assert_refused(401, "invalid_api_key");
        assert!(ask(&[]).head.contains("www-authenticate: bearer"));
        ask(&[("Authorization", "Bearer s3cre")]).assert_refused(401, "invalid_api_key");
        assert_eq!(ask(&[("Authorization", "Bearer s3cret")]).status, 200);
        let protocols = "realtime, openai-insecure-api-key.s3cret";
        assert_eq!(ask(&[("Sec-WebSocket-Protocol", protocols)]).status, 200);
        for path in ["/metrics", "/v1/realtime", "/v1/nothing"] {
            server.get(path).assert_refused(401, "invalid_api_key");
        }
        for path in ["/chat", "/v1/chat/completions", "/v1/audio/transcriptions"] {
            server
                .post(path, ASK)
                .assert_refused(401, "invalid_api_key");
        }
        assert_eq!(
            server.get("/healthz").status,
            200,
            "a load balancer has no token"
        );
    }
}

#[test]
fn a_server_that_others_reach_asks_for_a_token_or_is_told_not_to() {
    let model = model();
    let run = |options: &[&str]| {
        let mut command = command(&["serve", text(&model), "--listen", "0.0.0.0:0"]);
        let command = command.args(options).env_remove("MINI_OMNI_TOKEN");
        command.output().expect("the binary runs")
    };
    assert_refused(&run(&[]), "--allow-anyone");
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty");
    fs::write(&empty, "\n").expect("written");
    assert_refused(&run(&["--token-file", text(&empty)]), "holds no token");
    assert_refused(
        &run(&["--token-file", "/nowhere/token"]),
        "cannot read /nowhere/token",
    );
}

#[test]
fn a_page_of_another_site_may_not_ask_unless_it_is_named() {
    let server = Server::start(&model(), &["--allow-origin", "https://talk.example"]);
    let port = server.address.port();
    let (host, own) = (
        format!("127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}"),
    );
    let models = |origin: &str| {
        let headers = [("Host", &*host), ("Origin", origin)];
        server.ask("GET", "/v1/models", &headers, b"")
    };
    assert_eq!(models(&own).status, 200);
    assert!(
        !models(&own).head.contains("access-control"),
        "its own page needs no leave"
    );
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        models(foreign).assert_refused(403, "origin_not_allowed");
    }
    let named = models("https://talk.example");
    assert_eq!(named.status, 200);
    assert!(
        named
            .head
            .contains("access-control-allow-origin: https://talk.example")
    );
    let preflight = [
        ("Origin", "https://talk.example"),
        ("Access-Control-Request-Method", "POST"),
    ];
    assert_eq!(
        status(&server, "OPTIONS", "/v1/chat/completions", &preflight),
        204
    );
    let wanted = ("Access-Control-Request-Headers", "x-stainless-os");
    let reply = server.ask(
        "OPTIONS",
        "/chat",
        &[preflight[0], preflight[1], wanted],
        b"",
    );
    assert!(reply.head.contains("allow-headers: x-stainless-os"));
    let foreign = [("Origin", "https://evil.example")];
    assert_eq!(
        status(&server, "OPTIONS", "/v1/chat/completions", &foreign),
        403
    );
}

#[test]
fn a_name_that_only_points_to_loopback_is_not_the_servers() {
    let server = Server::start(&model(), &[]);
    let named = |host: &str| server.ask("GET", "/v1/models", &[("Host", host)], b"");
    for host in [
        "localhost",
        "127.0.0.1:8910",
        "[::1]:1",
        "LOCALHOST",
        "localhost.:80",
    ] {
        assert_eq!(named(host).status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:80"] {
        named(host).assert_refused(403, "host_not_allowed");
    }
}

#[test]
fn garbage_is_refused_in_a_sentence_and_harms_nobody() {
    let server = Server::start(&model(), &[]);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"messages\":3}",
        "{\"messages\":[]}",
        "\u{FEFF}{}",
    ] {
        server
            .post("/v1/chat/completions", body)
            .assert_refused(400, "invalid_request");
        server
            .post("/chat", body)
            .assert_refused(400, "invalid_request");
    }
    let no_words = r#"{"messages":[{"role":"user","content":" "}]}"#;
    server
        .post("/v1/chat/completions", no_words)
        .assert_refused(400, "invalid_request");
    for (field, value) in [("temperature", "9"), ("top_p", "-1"), ("max_tokens", "0")] {
        let body = ASK.replacen('{', &format!("{{\"{field}\":{value},"), 1);
        let reply = server.post("/v1/chat/completions", &body);
        reply.assert_refused(400, "invalid_request");
        assert_eq!(reply.json()["error"]["param"], field);
    }
    let zero = server.post("/chat", r#"{"audio":"","max_tokens":0}"#);
    zero.assert_refused(400, "invalid_request");
    assert_eq!(zero.json()["error"]["param"], "max_tokens");
    for (body, sentence) in [
        ("[]", "the JSON is an array, not an object"),
        ("{}", "messages is needed and is missing"),
        (
            r#"{"messages":[{"role":"user","content":7}]}"#,
            "messages[0].content is 7, not a string or an array",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]}"#,
            "messages[0].content[0].input_audio.data is needed and is missing",
        ),
        (
            r#"{"messages":[],"stream":"yes"}"#,
            "stream is \"yes\", not true or false",
        ),
    ] {
        let reply = server.post("/v1/chat/completions", body);
        assert_eq!(reply.json()["error"]["message"], sentence);
    }
    server
        .post("/chat", r#"{"audio":"%%%"}"#)
        .assert_refused(400, "invalid_request");
    server
        .post("/chat", r#"{"audio":""}"#)
        .assert_refused(400, "invalid_audio");
    server
        .post("/chat", r#"{"audio":"aGVsbG8gdGhlcmU="}"#)
        .assert_refused(400, "invalid_audio");
    let form = |file: &[u8], fields: &[_]| server.form("/v1/audio/transcriptions", file, fields);
    form(b"no sound", &[]).assert_refused(400, "invalid_audio");
    form(b"x", &[("temperature", "warm")]).assert_refused(400, "invalid_request");
    form(b"x", &[("response_format", "docx")]).assert_refused(400, "unsupported");
    server
        .post("/v1/audio/transcriptions", "{}")
        .assert_refused(400, "invalid_request");
    let kind = [("Content-Type", "multipart/form-data; boundary=cut")];
    let cut = server.ask(
        "POST",
        "/v1/audio/transcriptions",
        &kind,
        b"--cut\r\nContent-Disp",
    );
    cut.assert_refused(400, "invalid_request");
    for noise in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET",
        b"\r\n\r\n\0\0\0",
        b"POST /chat HTTP/9.9\r\n\r\n",
    ] {
        let mut socket = server.connect();
        let _ = socket.write_all(noise);
        let _ = socket.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut socket, &mut std::io::sink());
    }
    assert_eq!(
        server.post("/v1/chat/completions", ASK).status,
        200,
        "others are served"
    );
    assert_eq!(server.metric("mini_omni_conversations"), 0.0);
}

#[test]
fn silence_is_no_question() {
    let server = Server::start(&bundled(), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("silence.wav");
    write_wav(&path, 16_000, &vec![0.0; 32_000]);
    let silence = fs::read(path).expect("a file");
    let audio = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &silence);
    let reply = server.post("/chat", &format!("{{\"audio\":\"{audio}\"}}"));
    reply.assert_refused(400, "no_speech");
    let said = server.form("/v1/audio/transcriptions", &silence, &[]);
    assert_eq!((said.status, &said.json()["text"]), (200, &"".into()));
}

#[test]
fn https_is_spoken_with_a_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    fs::write(&cert, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let options = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    let server = Server::listening(&model(), &options, &[]);

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut plain = server.connect();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\n\r\n")
        .expect("sent");
    let mut stream = StreamOwned::new(client, server.connect());
    stream
        .write_all(&request("GET", "/healthz", &[], b""))
        .expect("sent");
    assert_eq!(Reply::read(stream).text(), "ok\n");
}

#[test]
fn a_certificate_that_is_none_is_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cert.pem");
    fs::write(&file, "no certificate").expect("written");
    let model = model();
    let args = [
        "serve",
        text(&model),
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        text(&file),
        "--tls-key",
        text(&file),
    ];
    assert_refused(&mini_omni(&args), "cert.pem");
}

#[test]
fn a_model_that_cannot_be_loaded_ends_the_server_with_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_model(&model(), folder.path());
    let decoder = fs::read_dir(folder.path()).expect("a model").flatten();
    let decoder = decoder
        .map(|entry| entry.path())
        .find(|path| text(path).ends_with("decoder.onnx"));
    fs::write(decoder.expect("a decoder"), b"no graph").expect("written");
    let args = ["serve", text(folder.path()), "--listen", "127.0.0.1:0"];
    assert_refused(&mini_omni(&args), "decoder");
    assert_refused(
        &mini_omni(&["serve", "/nowhere", "--listen", "127.0.0.1:0"]),
        "/nowhere",
    );
}

#[test]
fn an_address_in_use_is_a_sentence() {
    let server = Server::listening(&model(), &[], &[]);
    let model = model();
    let taken = server.address.to_string();
    assert_refused(
        &mini_omni(&["serve", text(&model), "--listen", &taken]),
        "--listen",
    );
}
