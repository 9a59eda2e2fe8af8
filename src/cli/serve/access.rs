//! Who may ask the server: options, checked before the socket is open.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::serve::{Access, Token};

/// Holds the token where no file does.
const VARIABLE: &str = "MINI_OMNI_TOKEN";

#[derive(Args)]
pub struct AccessArgs {
    /// A file with the bearer token that clients must send; else the variable MINI_OMNI_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Listen beyond this machine without a token: anyone who reaches the port may ask
    #[arg(long)]
    allow_anyone: bool,
    /// A page of another site that may ask, as https://example.org; may be repeated
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    allow_origin: Vec<String>,
    /// The certificate's chain in PEM: speak https
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl AccessArgs {
    /// Who may ask a server that listens there.
    pub fn access(&self, listen: SocketAddr) -> Result<Access> {
        let token = self.token()?;
        let loopback = listen.ip().is_loopback();
        if !loopback && token.is_none() && !self.allow_anyone {
            bail!(
                "{listen} is reached from other machines, and no token is asked for; give \
                 --token-file or set {VARIABLE}, or say --allow-anyone"
            );
        }
        Ok(Access {
            token,
            origins: self.allow_origin.clone(),
            loopback,
        })
    }

    fn token(&self) -> Result<Option<Token>> {
        let (text, place) = match (&self.token_file, std::env::var(VARIABLE)) {
            (Some(path), _) => (read(path)?, path.display().to_string()),
            (None, Ok(text)) => (text, VARIABLE.into()),
            (None, Err(std::env::VarError::NotPresent)) => return Ok(None),
            (None, Err(error)) => bail!("{VARIABLE} cannot be read: {error}"),
        };
        let token = Token::new(&text);
        let sentence = || anyhow!("{place} holds no token: one word of visible ASCII characters");
        token.ok_or_else(sentence).map(Some)
    }

    /// The certificate, if https is to be spoken.
    pub fn tls(&self) -> Result<Option<TlsAcceptor>> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let chain = CertificateDer::pem_slice_iter(read(cert)?.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| anyhow!("{} is no certificate in PEM: {error}", cert.display()))?;
        let private = PrivateKeyDer::from_pem_slice(read(key)?.as_bytes())
            .map_err(|error| anyhow!("{} is no private key in PEM: {error}", key.display()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .with_context(|| {
                format!(
                    "{} and {} do not go together",
                    cert.display(),
                    key.display()
                )
            })?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Scheme, host and port, as a browser writes them.
fn origin(given: &str) -> Result<String, String> {
    let rest = given
        .strip_prefix("https://")
        .or(given.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ']) => {
            Ok(given.to_lowercase())
        }
        _ => Err(
            "give scheme, host and port alone, as https://example.org or http://host:8080".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(
            origin("https://Example.org").expect("one"),
            "https://example.org"
        );
        assert_eq!(origin("http://host:8080").expect("one"), "http://host:8080");
        for wrong in [
            "*",
            "example.org",
            "https://",
            "https://a/b",
            "https://*.org",
            "ftp://a",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
