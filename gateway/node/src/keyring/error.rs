//! Why keys cannot be used, made or changed: one sentence each that says what to do. No sentence holds a secret.

use std::fmt;
use std::path::{Path, PathBuf};
use xinqiao_explain::{Explain, Explanation};

/// Keys that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyringError {
    /// A file is missing.
    Missing(PathBuf),
    /// A file cannot be read or written.
    Io(PathBuf, std::io::ErrorKind),
    /// A file does not hold what it should.
    Damaged(PathBuf),
    /// The file is readable by others.
    Open(PathBuf),
    /// There are keys already.
    Exists(PathBuf),
    /// The keys are sealed in another way than the configuration says.
    OtherSeal {
        /// As they are.
        sealed: &'static str,
        /// As the configuration says.
        configured: &'static str,
    },
    /// `seal` asks for a setting that is not there.
    NotConfigured(&'static str),
    /// The passphrase or credential does not open the seal.
    WrongPassphrase(PathBuf),
    /// Too short to protect anything.
    WeakPassphrase(PathBuf),
    /// The backup's passphrase is the one that seals the running keys.
    SamePassphrase,
    /// A systemd credential is not there.
    NoCredential(String),
    /// The token does not answer.
    TokenUnavailable(String),
    /// The token refused the PIN.
    PinRefused(String),
    /// The token cannot do what is asked of it.
    TokenLacks(&'static str),
    /// A key that should be in the token is not.
    NotInToken(String),
    /// The system or the token gave no signature or no key.
    Signing(&'static str),
    /// Not a key backup, or another passphrase.
    Backup(PathBuf),
}

impl KeyringError {
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |e| match e.kind() {
            std::io::ErrorKind::NotFound => Self::Missing(path.into()),
            kind => Self::Io(path.into(), kind),
        }
    }

    /// Stable, kebab-case with dots.
    pub fn code(&self) -> &'static str {
        self.texts().0
    }

    #[allow(clippy::too_many_lines, reason = "a table")]
    fn texts(&self) -> (&'static str, String, String) {
        let p = |p: &PathBuf| p.display().to_string();
        match self {
            Self::Missing(f) => (
                "keys.missing",
                format!(
                    "{} is missing; make the node's keys with `xinqiao keys init --config FILE`, or restore them with `xinqiao keys restore`",
                    p(f)
                ),
                format!(
                    "缺少 {}；请用 `xinqiao keys init --config FILE` 生成，或用 `xinqiao keys restore` 从密钥备份恢复",
                    p(f)
                ),
            ),
            Self::Io(f, kind) => (
                "keys.unusable",
                format!("{} cannot be used ({kind}); check that the service may read and write it", p(f)),
                format!("{} 无法使用（{kind}）；请检查服务账户的读写权限", p(f)),
            ),
            Self::Damaged(f) => (
                "keys.damaged",
                format!("{} is damaged; restore the keys from the key backup", p(f)),
                format!("{} 已损坏；请从密钥备份恢复", p(f)),
            ),
            Self::Open(f) => (
                "keys.open",
                format!("{} may be read by others; set its mode to 0600", p(f)),
                format!("{} 可被其他用户读取；请将权限改为 0600", p(f)),
            ),
            Self::Exists(f) => (
                "keys.exist",
                format!(
                    "{} exists; keys are made or restored into an empty directory only, and record keys never change",
                    p(f)
                ),
                format!("{} 已存在；密钥只能生成或恢复到空目录，记录密钥永不更换", p(f)),
            ),
            Self::OtherSeal { sealed, configured } => (
                "keys.other-seal",
                format!(
                    "the keys are sealed as `{sealed}`, but [keys] says seal = \"{configured}\"; run `xinqiao keys seal --config FILE`, or correct the setting"
                ),
                format!(
                    "密钥的保护方式为 `{sealed}`，而配置 [keys] 为 seal = \"{configured}\"；请运行 `xinqiao keys seal --config FILE` 或更正配置"
                ),
            ),
            Self::NotConfigured(what) => (
                "keys.not-configured",
                format!("[keys] says how keys are kept but lacks `{what}`; add it"),
                format!("[keys] 缺少 `{what}`；请补充"),
            ),
            Self::WrongPassphrase(f) => (
                "keys.wrong-passphrase",
                format!(
                    "what {} holds does not open the seal of the keys; give the passphrase they were sealed with",
                    p(f)
                ),
                format!("{} 中的口令无法打开密钥；请使用封存时的口令", p(f)),
            ),
            Self::WeakPassphrase(f) => (
                "keys.weak-passphrase",
                format!("the passphrase in {} has fewer than 12 characters; choose a longer one", p(f)),
                format!("{} 中的口令不足 12 个字符；请使用更长的口令", p(f)),
            ),
            Self::SamePassphrase => (
                "keys.same-passphrase",
                "the key backup needs a passphrase of its own, not the one that seals the running keys"
                    .into(),
                "密钥备份须使用单独的口令，不能与封存运行密钥的口令相同".into(),
            ),
            Self::NoCredential(name) => (
                "keys.no-credential",
                format!(
                    "the systemd credential `{name}` is not there; start the node through its unit with LoadCredential= or LoadCredentialEncrypted="
                ),
                format!(
                    "没有名为 `{name}` 的 systemd 凭据；请通过带 LoadCredential= 或 LoadCredentialEncrypted= 的服务单元启动"
                ),
            ),
            Self::TokenUnavailable(label) => (
                "keys.token-unavailable",
                format!(
                    "the PKCS#11 token `{label}` does not answer; plug it in, or start its service, and check `module` and `label`"
                ),
                format!("PKCS#11 令牌 `{label}` 没有响应；请接入令牌或启动其服务，并检查 module 与 label"),
            ),
            Self::PinRefused(label) => (
                "keys.token-pin",
                format!(
                    "the PKCS#11 token `{label}` refuses the PIN; correct the PIN file before another try locks the token, then restart"
                ),
                format!("PKCS#11 令牌 `{label}` 拒绝了 PIN；请先更正 PIN 文件再重启，以免令牌被锁定"),
            ),
            Self::TokenLacks(what) => (
                "keys.token-lacks",
                format!(
                    "the PKCS#11 token cannot do {what}; take that key out of `holds` in [keys.token], or use another token"
                ),
                format!(
                    "该 PKCS#11 令牌不支持 {what}；请从 [keys.token] 的 holds 中去掉相应密钥，或更换令牌"
                ),
            ),
            Self::NotInToken(kid) => (
                "keys.not-in-token",
                format!(
                    "key {kid} is not in the token; plug in the token it was made in, or restore that token's own backup"
                ),
                format!("密钥 {kid} 不在令牌中；请接入生成该密钥的令牌，或恢复该令牌自身的备份"),
            ),
            Self::Signing(what) => (
                "keys.signing",
                format!(
                    "{what} could not be made or signed; nothing was changed; check the token or the host's randomness and try again"
                ),
                format!("未能生成或签署（{what}）；未作任何更改；请检查令牌或主机随机数后重试"),
            ),
            Self::Backup(f) => (
                "keys.backup",
                format!(
                    "{} is not a key backup, is damaged, or has another passphrase; nothing was changed",
                    p(f)
                ),
                format!("{} 不是密钥备份、已损坏或口令不符；未作任何更改", p(f)),
            ),
        }
    }
}

impl Explain for KeyringError {
    fn explain(&self) -> Explanation {
        let (code, en, zh) = self.texts();
        Explanation::new(code, en, zh)
    }
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, en, zh) = self.texts();
        write!(f, "{code}: {en}. {zh}。")
    }
}
impl std::error::Error for KeyringError {}
