//! Trying an identity against the verifier its peers will use, before it goes live.

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, Error};

use super::Identity;
use crate::trouble::LoadError;
use crate::trust::Trust;

impl Identity {
    /// Whether peers that trust `trust` would accept it from a server they dial under `names`.
    pub fn check_as_server(&self, trust: &Trust, names: &[&str], now: UnixTime) -> Result<(), LoadError> {
        trust.server(self.chain(), now).map_err(|error| explain(&error, "server", "服务端"))?;
        let leaf =
            EndEntityCert::try_from(&self.chain()[0]).map_err(|error| explain(&error, "server", "服务端"))?;
        for name in names {
            let fits = ServerName::try_from(*name)
                .is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok());
            if !fits {
                return Err(LoadError::new(
                    "identity.wrong-name",
                    "certificate chain",
                    format!(
                        "the certificate is not for {name}; request one with this name in its subject alternative names"
                    ),
                    format!("证书不适用于 {name}，请申请在主题备用名称中含该名称的证书"),
                ));
            }
        }
        Ok(())
    }

    /// Whether peers that trust `trust` would accept it from a client.
    pub fn check_as_client(&self, trust: &Trust, now: UnixTime) -> Result<(), LoadError> {
        trust.client_anchor(self.chain(), now).map(drop).map_err(|error| explain(&error, "client", "客户端"))
    }
}

impl Trust {
    /// Whether this chain, which a server presented, is still good. Its name was checked when it was dialled.
    pub fn check_server(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), LoadError> {
        self.server(chain, now).map_err(|error| explain(&error, "server", "服务端"))
    }
}

fn explain(error: &Error, usage: &str, usage_zh: &str) -> LoadError {
    let (code, en, zh) = match error {
        Error::UnknownIssuer => (
            "identity.not-trusted",
            "the chain does not lead to a trust anchor; add the missing intermediates, or the authority as an anchor".into(),
            "证书链不能追溯到信任锚，请补全中间证书，或将签发机构加入信任锚".into(),
        ),
        Error::RequiredEkuNotFoundContext(_) => (
            "identity.wrong-usage",
            format!("the certificate may not be used by a {usage}; request one with that extended key usage"),
            format!("证书不能用于{usage_zh}，请申请含相应扩展密钥用法的证书"),
        ),
        Error::CertRevoked => (
            "identity.revoked",
            "the certificate was revoked; request a new one".into(),
            "证书已被吊销，请重新申请".into(),
        ),
        other => (
            "identity.not-accepted",
            format!("peers would not accept the chain ({other}); request a new certificate"),
            format!("对端不会接受该证书链（{other}），请重新申请证书"),
        ),
    };
    LoadError::new(code, "certificate chain", en, zh)
}
