//! Embeds the files under `catalogue/`, so that the binary works without a catalogue directory.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("catalogue");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut code = String::from("/// Path and text of each file.\nstatic EMBEDDED: &[(&str, &str)] = &[\n");
    for folder in ["datasets", "codes", "schemas", "mappings", "policies"] {
        let path = root.join(folder);
        println!("cargo::rerun-if-changed={}", path.display());
        let Ok(entries) = fs::read_dir(&path) else { continue };
        let mut files: Vec<_> =
            entries.collect::<io::Result<Vec<_>>>()?.into_iter().map(|e| e.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        for file in files {
            println!("cargo::rerun-if-changed={}", file.display());
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            writeln!(
                code,
                "    ({:?}, include_str!({:?})),",
                format!("{folder}/{name}"),
                file.display().to_string()
            )
            .map_err(io::Error::other)?;
        }
    }
    code.push_str("];\n");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("embedded.rs"), code)
}
