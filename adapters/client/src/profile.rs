//! Where the gateway is and who we are to it: from a TOML file, or from flags.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::ClientError;

/// Settings of one connection to one gateway.
///
/// In a profile file, paths are relative to the file:
/// ```toml
/// gateway = "https://gateway.xm.example:8443"
/// certificate = "health.crt"
/// key = "health.key"
/// authorities = "ca.crt"
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `https://host:port`, nothing after it.
    pub gateway: String,
    /// Own chain in PEM, leaf first.
    pub certificate: PathBuf,
    /// Own private key in PEM.
    pub key: PathBuf,
    /// File with the passphrase of the key, if the key is sealed.
    #[serde(default)]
    pub key_passphrase_file: Option<PathBuf>,
    /// The authorities that may vouch for the gateway, in PEM.
    pub authorities: PathBuf,
    /// Address to dial instead of looking the gateway's name up, such as `10.0.0.7:8443`.
    #[serde(default)]
    pub address: Option<String>,
    /// Seconds for TCP and TLS together.
    #[serde(default = "ten")]
    pub connect_seconds: u64,
    /// Seconds without an answer, or without more of one, before a request is given up. A long poll's wait, or the time to
    /// upload a body at 64 KiB/s, is added.
    #[serde(default = "sixty")]
    pub idle_seconds: u64,
}

impl Profile {
    /// A profile with the usual times.
    pub fn new(gateway: &str, certificate: &Path, key: &Path, authorities: &Path) -> Self {
        Self {
            gateway: gateway.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            key_passphrase_file: None,
            authorities: authorities.to_owned(),
            address: None,
            connect_seconds: ten(),
            idle_seconds: sixty(),
        }
    }

    /// Reads a profile file.
    pub fn read(path: &Path) -> Result<Self, ClientError> {
        let text = std::fs::read_to_string(path).map_err(|error| ClientError::local(path, error))?;
        let mut profile: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let message = error.message();
            ClientError::setting(
                format!("{} line {line}", path.display()),
                format!("{message}; a profile has gateway, certificate, key and authorities"),
                format!("{message}；配置须含 gateway、certificate、key 和 authorities"),
            )
        })?;
        let beside = path.parent().unwrap_or(Path::new("."));
        let files = [&mut profile.certificate, &mut profile.key, &mut profile.authorities];
        for file in files.into_iter().chain(&mut profile.key_passphrase_file) {
            *file = beside.join(&file);
        }
        Ok(profile)
    }

    pub(crate) fn connect_time(&self) -> Duration {
        Duration::from_secs(self.connect_seconds.max(1))
    }

    pub(crate) fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.max(1))
    }

    /// Host and port of the gateway.
    pub(crate) fn authority(&self) -> Result<http::uri::Authority, ClientError> {
        let wrong = || {
            ClientError::setting(
                "gateway",
                "must read https://host or https://host:port, with nothing after it",
                "须写作 https://主机 或 https://主机:端口，其后不带任何内容",
            )
        };
        let uri: http::Uri = self.gateway.parse().map_err(|_| wrong())?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        match uri.authority() {
            Some(authority)
                if plain && uri.scheme_str() == Some("https") && !authority.as_str().contains('@') =>
            {
                Ok(authority.clone())
            }
            _ => Err(wrong()),
        }
    }
}

fn ten() -> u64 {
    10
}

fn sixty() -> u64 {
    60
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_explain::Explain;

    fn profile(text: &str) -> Result<Profile, ClientError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("profile.toml");
        std::fs::write(&path, text).unwrap();
        Profile::read(&path)
    }

    const GOOD: &str = "gateway = \"https://g.example:1\"\ncertificate = \"a.crt\"\nkey = \"/k/a.key\"\nauthorities = \"ca.crt\"\n";

    #[test]
    fn paths_are_relative_to_the_file_and_unknown_settings_refused() {
        let read = profile(GOOD).unwrap();
        assert!(read.certificate.is_absolute() && read.certificate.ends_with("a.crt"));
        assert_eq!(read.key, Path::new("/k/a.key"));
        let error = profile(&format!("{GOOD}tiemout = 3\n")).unwrap_err();
        assert_eq!(error.code(), "client.setting");
        assert!(error.english().contains("line 5"), "{error}");
    }

    #[test]
    fn only_a_bare_https_address_is_a_gateway() {
        let with = |gateway: &str| {
            let path = Path::new("x");
            Profile::new(gateway, path, path, path).authority().map(|a| a.to_string())
        };
        assert_eq!(with("https://g.example:8443").unwrap(), "g.example:8443");
        assert_eq!(with("https://[::1]:8443/").unwrap(), "[::1]:8443");
        for wrong in [
            "http://g.example",
            "g.example:8443",
            "https://g.example/api",
            "https://u@g.example",
            "https://g.example/?q",
            "",
        ] {
            assert_eq!(with(wrong).unwrap_err().code(), "client.setting", "{wrong}");
        }
    }
}
