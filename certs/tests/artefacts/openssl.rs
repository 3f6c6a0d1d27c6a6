//! A directory with a root, and the `openssl` command to make things in it.

use std::path::PathBuf;
use std::process::Command;

pub(crate) struct Workshop(tempfile::TempDir);

impl Workshop {
    /// With `root.crt` and `root.key`, ECDSA P-256, `CN=root`.
    pub(crate) fn new() -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        shop.run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.crt -days 30 -subj /CN=root -addext keyUsage=keyCertSign,cRLSign");
        shop
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    pub(crate) fn write(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    /// Several files in one.
    pub(crate) fn join(&self, file: &str, parts: &[&str]) {
        self.write(file, &parts.iter().flat_map(|part| self.read(part)).collect::<Vec<u8>>());
    }

    /// Runs `openssl` with these words.
    pub(crate) fn run(&self, words: &str) -> String {
        let output = Command::new("openssl")
            .args(words.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("openssl is installed: .ci/test sees to it");
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `<name>.crt` and `<name>.key` by the root, `CN=leaf-<name>`.
    pub(crate) fn leaf(&self, name: &str, key: &str, extensions: &str, more: &[&str]) {
        self.leaf_of("root", name, key, extensions, more);
    }

    /// The same by another issuer.
    pub(crate) fn leaf_of(&self, issuer: &str, name: &str, key: &str, extensions: &str, more: &[&str]) {
        match key {
            "explicit" => self
                .run(&format!("ecparam -name prime256v1 -genkey -noout -param_enc explicit -out {name}.key")),
            rsa if rsa.starts_with("rsa:") => {
                let bits = &rsa[4..];
                self.run(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits} -out {name}.key"))
            }
            curve => {
                self.run(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out {name}.key"))
            }
        };
        self.run(&format!("req -new -key {name}.key -subj /CN=leaf-{name} -out {name}.csr"));
        self.write("leaf.ext", extensions.as_bytes());
        self.run(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey {issuer}.key -days 9 -extfile leaf.ext -out {name}.crt {}",
            more.join(" ")
        ));
    }

    pub(crate) fn serial(&self, name: &str) -> Vec<u8> {
        let text = self.run(&format!("x509 -in {name}.crt -noout -serial"));
        let digits = text.trim().strip_prefix("serial=").unwrap();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    /// `index.txt`, as `openssl ca` and `openssl ocsp` keep it: these certificates, revoked or not.
    pub(crate) fn index(&self, certificates: &[(&str, bool)]) {
        let mut text = String::new();
        for (name, revoked) in certificates {
            let serial: String = self.serial(name).iter().map(|byte| format!("{byte:02X}")).collect();
            let (state, when) = if *revoked { ("R", "200101000000Z") } else { ("V", "") };
            text.push_str(&format!("{state}\t491231235959Z\t{when}\t{serial}\tunknown\t/CN=leaf-{name}\n"));
        }
        self.write("index.txt", text.as_bytes());
        self.write("index.txt.attr", b"unique_subject = no\n");
    }

    /// A list of what the index says is revoked, with this number and these extensions.
    pub(crate) fn list(&self, file: &str, number: u16, extensions: &str) {
        self.list_by("root", file, number, extensions);
    }

    pub(crate) fn list_by(&self, signer: &str, file: &str, number: u16, extensions: &str) {
        // The file wants whole bytes.
        let width = if number > 0xff { 4 } else { 2 };
        self.write("crlnumber", format!("{number:0width$X}\n").as_bytes());
        let config = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=2\ncrl_extensions=ext\n[ext]\nauthorityKeyIdentifier=keyid\n{extensions}"
        );
        self.write("ca.cnf", config.as_bytes());
        self.run(&format!("ca -gencrl -config ca.cnf -cert {signer}.crt -keyfile {signer}.key -out {file}"));
    }
}
