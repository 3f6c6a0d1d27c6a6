//! How another set comes in force: built from files and decisions, rehearsed, swapped; or refused, but for what closes.

use super::lists::Before;
use super::material::{Material, Named};
use super::rehearse::Rehearsal;
use super::{Affected, Live, Report, SetRefused, TrustKeeper, TrustSet, waiting};
use std::sync::Arc;
use xinqiao_certs::UnixTime;
use xinqiao_edge::EdgeControl;
use xinqiao_node::config::Config;
use xinqiao_node::decisions::{FileSet, Overlay};

impl TrustKeeper {
    /// What these decisions would do, checked on the certificates actually seen. Nothing changes.
    pub fn rehearse(&self, overlay: &Overlay) -> Result<Report, SetRefused> {
        let material = self.material();
        let now = UnixTime::now();
        let live = self.live();
        let next = self.build(&material, overlay, &live.set, now)?;
        self.rehearse_change(&live.set, &next, &[], now)
    }

    /// What reading the configuration and every file again would do, and what the files say of members and anchors.
    /// Nothing changes.
    pub fn rehearse_reload(&self) -> Result<(Report, FileSet), SetRefused> {
        let material = self.material();
        let now = UnixTime::now();
        let named = match self.config.as_os_str().is_empty() {
            true => material.named.clone(),
            false => Named::of(&Config::load(&self.config).map_err(|e| {
                let said = e.to_string();
                SetRefused::new("config.unusable", said.clone(), format!("配置文件无法使用：{said}"))
            })?),
        };
        let read = Material::read(&named, Some(&material), now)?;
        let live = self.live();
        let next = self.build(&read, &live.set.overlay, &live.set, now)?;
        let report = self.rehearse_change(&live.set, &next, &[], now)?;
        Ok((report, read.files))
    }

    /// Puts these decisions in force, unless someone would be locked out whom no decision locks out and `despite` does not
    /// name. Works with what the files said when they were last good.
    pub fn adopt(&self, overlay: &Overlay, locked_out: &[String]) -> Result<Report, SetRefused> {
        let _alone = self.changing.lock();
        self.change(&self.material(), overlay, locked_out)
    }

    /// Reads the configuration and every file again, and puts what they say in force. `why` is for the log. On a refusal
    /// the last good set stays, but for what was revoked or suspended.
    pub fn reload(&self, why: &str) -> Result<Report, SetRefused> {
        let config = match self.config.as_os_str().is_empty() {
            true => None,
            false => match Config::load(&self.config) {
                Ok(config) => Some(config),
                Err(e) => {
                    let said = e.to_string();
                    let refusal =
                        SetRefused::new("config.unusable", said.clone(), format!("配置文件无法使用：{said}"));
                    return Err(self.refuse(refusal, why));
                }
            },
        };
        if let Some(config) = &config {
            waiting::say(&self.started, config);
        }
        let done = self.read_again(config.as_ref(), why).map_err(|refusal| self.refuse(refusal, why))?;
        // What the files alone could not bring is in force now too.
        let mut refused = self.refused.lock();
        if refused.reload.take().is_some() | refused.files.take().is_some() {
            tracing::info!(why, "the configuration is in force again  配置已生效");
        }
        Ok(done)
    }

    /// Reads the files again that are named already. A set that is torn just now is not spoken of while `quiet`.
    pub(super) fn read_files(&self, why: &str, quiet: bool) -> Result<Report, SetRefused> {
        match self.read_again(None, why) {
            Ok(report) => {
                if self.refused.lock().files.take().is_some() {
                    tracing::info!(why, "the files are in force again  文件已生效");
                }
                Ok(report)
            }
            Err(refusal) => {
                let mut refused = self.refused.lock();
                if !quiet {
                    log_once(&mut refused.files, &refusal, why);
                }
                Err(refusal)
            }
        }
    }

    fn read_again(&self, config: Option<&Config>, why: &str) -> Result<Report, SetRefused> {
        let _alone = self.changing.lock();
        let material = self.material();
        let now = UnixTime::now();
        let named = config.map_or_else(|| material.named.clone(), Named::of);
        let overlay = self.overlay();
        let outcome = Material::read(&named, Some(&material), now)
            .and_then(|read| self.change(&read, &overlay, &[]).map(|report| (read, report)));
        match outcome {
            Ok((read, report)) => {
                let other = material.files != read.files;
                *self.material.write() = Arc::new(read);
                if other || !report.changed.is_empty() {
                    // Officers' decisions are about the files, even where nothing went live; whoever follows reads both.
                    self.changes.send_modify(|n| *n += 1);
                }
                if !report.changed.is_empty() {
                    tracing::info!(
                        why,
                        changed = report.changed.join(","),
                        cut = report.cut,
                        "certificates and members are as the files say"
                    );
                }
                for note in &report.notes {
                    tracing::warn!(code = note.code(), "{}  {}", note.english(), note.chinese());
                }
                self.say_passed_over();
                Ok(report)
            }
            Err(refusal) => {
                let closed = material.closing(&named);
                let other = material.files != closed.files;
                if self.change(&closed, &overlay, &[]).is_ok_and(|report| other || !report.changed.is_empty())
                {
                    *self.material.write() = Arc::new(closed);
                    self.changes.send_modify(|n| *n += 1);
                }
                Err(refusal)
            }
        }
    }

    /// Logs each list that a newer one took the place of, once.
    fn say_passed_over(&self) {
        let live = self.live();
        let now = &live.set.in_force.passed_over;
        let mut said = self.passed_over.lock();
        for note in now.iter().filter(|note| !said.contains(note)) {
            tracing::info!(code = note.code(), "{}  {}", note.english(), note.chinese());
        }
        said.clone_from(now);
    }

    /// Remembers that the configuration was refused, and logs it once.
    fn refuse(&self, refusal: SetRefused, why: &str) -> SetRefused {
        log_once(&mut self.refused.lock().reload, &refusal, why);
        refusal
    }

    fn change(
        &self,
        material: &Material,
        overlay: &Overlay,
        locked_out: &[String],
    ) -> Result<Report, SetRefused> {
        let now = UnixTime::now();
        let live = self.live();
        let next = self.build(material, overlay, &live.set, now)?;
        let mut report = self.rehearse_change(&live.set, &next, locked_out, now)?;
        let stopping = report.affected.iter().filter(|a| !locked_out.contains(&a.member));
        let stopping: Vec<Affected> = stopping.cloned().collect();
        if !stopping.is_empty() {
            return Err(SetRefused::lock_out(stopping));
        }
        report.cut = self.swap(&live.set, next, &report);
        Ok(report)
    }

    fn build(
        &self,
        material: &Material,
        overlay: &Overlay,
        last: &TrustSet,
        now: UnixTime,
    ) -> Result<TrustSet, SetRefused> {
        let presented = self.seen.authorities();
        TrustSet::build(
            material,
            overlay,
            Some(last),
            &Before { last: Some(&last.in_force), remembered: &[], presented: &presented },
            now,
        )
    }

    fn rehearse_change(
        &self,
        live: &TrustSet,
        next: &TrustSet,
        locked_out: &[String],
        now: UnixTime,
    ) -> Result<Report, SetRefused> {
        let connected = self.edges.lock().iter().flat_map(EdgeControl::chains).collect();
        let seen = self.seen.all();
        Rehearsal { live, next, seen: &seen, connected: &connected, now }.run(locked_out)
    }

    /// Puts a set in force: first new connections, then the open ones are checked by it. How many were cut.
    fn swap(&self, last: &TrustSet, next: TrustSet, report: &Report) -> usize {
        let retire = next.supersedes(last);
        let changed = |part: &str| report.changed.iter().any(|c| c == part);
        let dials = next.dials.clone();
        *self.live.write() = Arc::new(Live::new(next, &self.seen));
        if report.changed.is_empty() {
            return 0;
        }
        if changed("upstreams") || changed("revocation") {
            for (dial, client) in self.clients.lock().iter() {
                if let Some(tls) = dials.get(dial) {
                    client.renew(tls.clone());
                }
            }
        }
        let edges = self.edges.lock().clone();
        let cut = edges.iter().map(EdgeControl::recheck).sum();
        if retire {
            edges.iter().for_each(EdgeControl::retire);
        }
        self.changes.send_modify(|n| *n += 1);
        cut
    }
}

fn log_once(before: &mut Option<SetRefused>, refusal: &SetRefused, why: &str) {
    if before.replace(refusal.clone()).as_ref() != Some(refusal) {
        tracing::error!(
            why,
            code = refusal.why.code(),
            "{}; the last good set stays in force  {}；原有配置继续生效",
            refusal.why.english(),
            refusal.why.chinese()
        );
    }
}
