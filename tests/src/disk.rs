//! Disks of a test's own: small ones that fill up, and ones whose power can be cut. They need root, mounting and loop
//! devices; a test that does not get one says so and does nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system; unmounted when dropped.
pub struct Disk {
    /// Where it is mounted.
    pub path: PathBuf,
}

impl Disk {
    /// A file system in memory, of so many MiB.
    pub fn tmpfs(at: &Path, mebibytes: u32) -> Option<Self> {
        Self::mount(at, &["-t", "tmpfs", "-o", &format!("size={mebibytes}M"), "none"])
    }

    /// Makes an ext4 in a file, of so many MiB, and mounts it.
    pub fn ext4(image: &Path, at: &Path, mebibytes: u32) -> Option<Self> {
        let file = std::fs::File::create(image).ok()?;
        file.set_len(u64::from(mebibytes) << 20).ok()?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_os_str()]).then_some(())?;
        Self::image(image, at)
    }

    /// Mounts a file that holds a file system.
    pub fn image(image: &Path, at: &Path) -> Option<Self> {
        Self::mount(at, &["-o", "loop", image.to_str()?])
    }

    fn mount(at: &Path, arguments: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(at).ok()?;
        let mut all: Vec<_> = arguments.iter().map(std::ffi::OsStr::new).collect();
        all.push(at.as_os_str());
        run("mount", &all).then(|| Self { path: at.to_owned() })
    }

    /// Mounts it again with other options, such as `ro`.
    pub fn remount(&self, options: &str) -> bool {
        run("mount", &["-o".as_ref(), format!("remount,{options}").as_ref(), self.path.as_os_str()])
    }

    /// Fills it with a file of zeros until only so many bytes are left; the file. It may be called again.
    pub fn fill(&self, leaving: u64) -> PathBuf {
        use std::io::Write;
        let path = self.path.join("ballast");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.expect("a file can be made");
        for size in [1 << 20, 4096, 1] {
            let zeros = vec![0; size];
            while self.free() >= leaving + size as u64 && file.write_all(&zeros).is_ok() {}
        }
        path
    }

    /// Bytes left.
    fn free(&self) -> u64 {
        let said =
            Command::new("df").args(["-B1", "--output=avail"]).arg(&self.path).output().expect("df runs");
        let said = String::from_utf8_lossy(&said.stdout);
        said.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("df says a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !run("umount", &[self.path.as_os_str()]) {
            // Something still has a file open: it goes when that is done.
            run("umount", &["-l".as_ref(), self.path.as_os_str()]);
        }
    }
}

/// Runs a program without a word; true if it ended well.
pub fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
