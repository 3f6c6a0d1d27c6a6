//! A thread that does the background work of a register.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Register;
use super::error::RegisterError;

/// After an error the worker waits so long, or until there is more to write.
const RETRY: Duration = Duration::from_secs(1);

/// Rung when there is work.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.heard.notify_all();
    }

    fn wait(&self, at_most: Option<Duration>) {
        let mut rung = self.rung.lock();
        if !*rung {
            match at_most {
                Some(time) => drop(self.heard.wait_for(&mut rung, time)),
                None => self.heard.wait(&mut rung),
            }
        }
        *rung = false;
    }
}

/// Owns the thread; dropping it stops the thread after the piece of work it is at. What is in memory is not written then:
/// [`Register::flush`] does that.
pub struct RegisterWorker {
    register: Arc<Register>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RegisterWorker {
    /// Starts the thread; a register has one at most. `failed` is told of errors, each time the work is tried again.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(
        register: Arc<Register>,
        failed: impl Fn(&RegisterError) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (worked, stopped) = (register.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("register".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                match worked.step() {
                    Ok(true) => {}
                    Ok(false) => worked.bell.wait(None),
                    Err(error) => {
                        failed(&error);
                        worked.bell.wait(Some(RETRY));
                    }
                }
            }
        })?;
        Ok(Self { register, stop, thread: Some(thread) })
    }
}

impl Drop for RegisterWorker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.register.bell.ring();
        // A panic of the thread was reported by its hook; answers do not depend on the thread.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
