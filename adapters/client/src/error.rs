//! Everything that can go wrong on the client's side, each with a stable code and a sentence in both languages.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use xinqiao_explain::{Explain, Explanation};

/// Why a call did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// A certificate, key or authority file cannot be used.
    Files(Explanation),
    /// The profile, or a value given, is wrong.
    Setting(Explanation),
    /// The gateway could not be reached, or the connection broke.
    Connection(String),
    /// The TLS handshake failed, on either side.
    Tls(String),
    /// No answer in time.
    Timeout,
    /// The gateway answered with a problem document.
    Problem(Box<Problem>),
    /// The gateway answered something this client does not understand.
    Protocol(String),
    /// Something does not verify. Nothing of it was acknowledged.
    Unverified(Box<Explanation>),
    /// The node began a new epoch; someone must look and adopt it.
    NewEpoch {
        /// The epoch followed so far.
        known: u64,
        /// The epoch the node is in now.
        seen: u64,
    },
    /// A sender's folder cannot be used as it is, or not for this.
    Sender(Explanation),
    /// A local file cannot be read or written.
    Local {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An RFC 9457 problem document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Problem {
    /// HTTP status; taken from the response line.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// Short English title.
    pub title: String,
    /// Short Chinese title.
    pub title_zh: String,
    /// This case, English.
    pub detail: String,
    /// This case, Chinese.
    pub detail_zh: String,
    /// Findings about single records and fields.
    pub errors: Vec<Finding>,
    /// What `Retry-After` said, in seconds.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// What is wrong, or doubtful, with one record or field. Never repeats a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Finding {
    /// Zero-based ordinal in the body.
    pub record: Option<u64>,
    /// Field code.
    pub field: Option<String>,
    /// Stable code of the rule.
    pub code: String,
    /// `refuse` or `warn`.
    pub severity: String,
    /// English sentence.
    #[serde(alias = "detail")]
    pub en: String,
    /// Chinese sentence.
    #[serde(alias = "detail_zh")]
    pub zh: String,
}

/// The thing at `place` does not verify, for the verifier's reason.
pub(crate) fn unverified(place: impl Into<String>, error: &(impl Explain + ?Sized)) -> ClientError {
    ClientError::Unverified(Box::new(error.explain().at(place)))
}

impl ClientError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Files(error) | Self::Setting(error) | Self::Sender(error) => error.code(),
            Self::Connection(_) => "client.connection",
            Self::Tls(_) => "client.tls",
            Self::Timeout => "client.timeout",
            Self::Problem(problem) => &problem.code,
            Self::Protocol(_) => "client.protocol",
            Self::Unverified(error) => error.code(),
            Self::NewEpoch { .. } => "client.new-epoch",
            Self::Local { .. } => "client.local-file",
        }
    }

    fn in_english(&self) -> String {
        match self {
            Self::Files(error) | Self::Setting(error) | Self::Sender(error) => error.english(),
            Self::Connection(why) => {
                format!(
                    "the gateway cannot be reached ({why}); check its address, the network and that it runs"
                )
            }
            Self::Tls(why) if refused(why) => format!(
                "the gateway refused this client's certificate ({why}); commonly it was revoked, has expired, its authority is not one the gateway trusts, or the revocation list about it is overdue: look at it with `xinqiao certs status`, then ask the gateway's officers"
            ),
            Self::Tls(why) => format!(
                "the TLS handshake failed ({why}); check the certificate, the authorities and the gateway's name"
            ),
            Self::Timeout => {
                "the gateway did not answer in time; try again with the same idempotency key".into()
            }
            Self::Problem(problem) => match problem.detail.is_empty() {
                true => problem.title.clone(),
                false => format!("{}: {}", problem.title, problem.detail),
            },
            Self::Protocol(what) => {
                format!(
                    "the gateway's answer is not understood ({what}); is it a Xinqiao gateway of this version?"
                )
            }
            Self::Unverified(error) => {
                format!("{} does not verify: {}", error.place().unwrap_or_default(), error.sentences()[0])
            }
            Self::NewEpoch { known, seen } => format!(
                "the node is in epoch {seen}, this directory follows epoch {known}; ask the node's operators what was restored, then adopt the new epoch explicitly"
            ),
            Self::Local { path, source } => {
                format!("{}: {source}; check the path, its permissions and free space", path.display())
            }
        }
    }

    fn in_chinese(&self) -> String {
        match self {
            Self::Files(error) | Self::Setting(error) | Self::Sender(error) => error.chinese(),
            Self::Connection(why) => format!("无法连接网关（{why}），请检查地址、网络以及网关是否运行"),
            Self::Tls(why) if refused(why) => format!(
                "网关拒绝了本方证书（{why}）；常见原因：证书已吊销或过期、签发机构不受网关信任、相关吊销列表逾期未更新。请先用 xinqiao certs status 查看，再联系网关安全管理员"
            ),
            Self::Tls(why) => format!("TLS 握手失败（{why}），请检查证书、信任的机构以及网关名称"),
            Self::Timeout => "网关未及时应答，请用同一幂等键重试".into(),
            Self::Problem(problem) => match problem.detail_zh.is_empty() {
                true => problem.title_zh.clone(),
                false => format!("{}：{}", problem.title_zh, problem.detail_zh),
            },
            Self::Protocol(what) => format!("无法理解网关的应答（{what}），请确认对方是同版本的信桥网关"),
            Self::Unverified(error) => {
                format!("{} 验证不通过：{}", error.place().unwrap_or_default(), error.sentences()[1])
            }
            Self::NewEpoch { known, seen } => format!(
                "节点已进入第 {seen} 纪元，本目录跟随的是第 {known} 纪元；请向节点运维了解恢复情况后显式采用新纪元"
            ),
            Self::Local { path, source } => {
                format!("{}：{source}，请检查路径、权限与剩余空间", path.display())
            }
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Timeout => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 502..=504),
            _ => false,
        }
    }

    /// Whether evidence failed to verify (exit code 4 of the command line).
    pub fn is_verification(&self) -> bool {
        matches!(self, Self::Unverified(_) | Self::NewEpoch { .. })
    }

    /// Whether the gateway refused what was asked (exit code 3).
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Problem(problem) if (400..500).contains(&problem.status))
    }

    /// Whether a batch's payload is not to be had any more: taken back, or past its age. Its place in the chain stands.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Problem(problem) if matches!(problem.code.as_str(), "batch.void" | "batch.expired"))
    }

    /// A setting that cannot be used: where, and what to do, in English and Chinese.
    pub fn setting(place: impl Into<String>, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self::Setting(Explanation::new("client.setting", en.into(), zh.into()).at(place))
    }

    pub(crate) fn local(path: &Path, source: io::Error) -> Self {
        Self::Local { path: path.to_owned(), source }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }
}

/// Whether this is the gateway's word about our certificate.
fn refused(why: &str) -> bool {
    const ABOUT: [&str; 4] = ["Certificate", "UnknownCA", "AccessDenied", "DecryptError"];
    why.contains("received fatal alert") && ABOUT.iter().any(|word| why.contains(word))
}

impl From<Explanation> for ClientError {
    fn from(error: Explanation) -> Self {
        Self::Files(error)
    }
}

impl Explain for ClientError {
    fn explain(&self) -> Explanation {
        Explanation::new(self.code().to_owned(), self.in_english(), self.in_chinese())
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.in_english(), self.code())
    }
}

impl std::error::Error for ClientError {}
