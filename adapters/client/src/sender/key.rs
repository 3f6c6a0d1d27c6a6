//! The folder's secret, and what is derived with it: keys of submissions, names of files.

use std::fmt;
use xinqiao_crypto::{MacKey, hex, random};

use crate::client::Submission;
use crate::error::ClientError;

/// 256 random bits. With them a guess of what a body held could be tested, as with a receipt's salt.
pub(super) struct Secret {
    hex: String,
    key: MacKey,
}

impl Secret {
    pub(super) fn generate() -> Result<Self, ClientError> {
        let bytes: [u8; 32] = random::array().map_err(|_| {
            ClientError::setting("system", "gave no random numbers; try again", "未能提供随机数，请重试")
        })?;
        Ok(Self::new(hex::encode(&bytes)))
    }

    /// From the text that stands in the state file, whatever it is: only its being the same matters.
    pub(super) fn new(hex: String) -> Self {
        let key = MacKey::new(hex.as_bytes());
        Self { hex, key }
    }

    pub(super) fn as_hex(&self) -> &str {
        &self.hex
    }

    /// The key of a submission: of its content, or of content and occasion. 64 hexadecimal digits.
    pub(super) fn key(&self, submission: &Submission<'_>, occasion: &str) -> String {
        let strict = if submission.strict { "strict" } else { "lenient" };
        let content = self.mac(&[
            b"content",
            submission.dataset.as_bytes(),
            // No schema is not the empty one: the gateway then chooses the only one that is open.
            &[u8::from(submission.schema.is_some())],
            submission.schema.unwrap_or_default().as_bytes(),
            submission.op.as_bytes(),
            submission.load.unwrap_or("daily").as_bytes(),
            submission.media_type.as_bytes(),
            submission.charset.unwrap_or("utf-8").as_bytes(),
            strict.as_bytes(),
            &submission.body,
        ]);
        match occasion {
            "" => hex::encode(&content),
            occasion => hex::encode(&self.mac(&[b"occasion", occasion.as_bytes(), &content])),
        }
    }

    /// What a submission's files are called. A key that was given may hold anything, so it does not
    /// appear in a file's name.
    pub(super) fn file(&self, key: &str) -> String {
        hex::encode(&self.mac(&[b"file", key.as_bytes()])[..16])
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = self.key.begin();
        for part in parts {
            // With the length before each, no two lists of parts are one sequence of bytes.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_of_a_submission_and_the_occasion_make_another_key() {
        let secret = Secret::generate().unwrap();
        let plain = Submission::new("d", "body");
        let all = [
            plain.clone(),
            Submission { dataset: "e", ..plain.clone() },
            Submission { schema: Some("s"), ..plain.clone() },
            Submission { schema: Some(""), ..plain.clone() },
            Submission { op: "withdraw", ..plain.clone() },
            Submission { load: Some("history"), ..plain.clone() },
            Submission { media_type: "text/csv", ..plain.clone() },
            Submission { charset: Some("gb18030"), ..plain.clone() },
            Submission { strict: true, ..plain.clone() },
            Submission { body: "bod".into(), ..plain.clone() },
        ];
        let mut keys: BTreeSet<String> = all.iter().map(|one| secret.key(one, "")).collect();
        keys.extend(["1", "2"].map(|occasion| secret.key(&plain, occasion)));
        assert_eq!(keys.len(), all.len() + 2);
        let defaults =
            Submission { load: Some("daily"), charset: Some("utf-8"), gzip: true, ..plain.clone() };
        assert_eq!(secret.key(&defaults, ""), secret.key(&plain, ""));
        assert_eq!(Secret::new(secret.as_hex().to_owned()).key(&plain, ""), secret.key(&plain, ""));
        assert_ne!(Secret::generate().unwrap().key(&plain, ""), secret.key(&plain, ""));
        assert!(keys.iter().all(|key| key.len() == 64));
    }
}
