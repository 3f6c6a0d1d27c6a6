//! How another set comes in force: built from files and decisions, rehearsed, swapped; or refused, but for what closes.

use super::lists::Before;
use super::material::{Material, Named};
use super::rehearse::Rehearsal;
use super::{Affected, Keeper, Live, Refusal, Report, Standing, waiting};
use std::sync::Arc;
use xinqiao_certs::UnixTime;
use xinqiao_edge::EdgeControl;
use xinqiao_node::config::Config;
use xinqiao_node::decisions::{FileSet, Overlay};

impl Keeper {
    /// What these decisions would do, judged on the certificates actually seen. Nothing changes.
    pub fn rehearse(&self, overlay: &Overlay) -> Result<Report, Refusal> {
        let material = self.material();
        let now = UnixTime::now();
        let live = self.live();
        let next = self.build(&material, overlay, &live.set, now)?;
        self.judge(&live.set, &next, &[], now)
    }

    /// What reading the configuration and every file again would do, and what the files say of members and anchors.
    /// Nothing changes.
    pub fn rehearse_reload(&self) -> Result<(Report, FileSet), Refusal> {
        let material = self.material();
        let now = UnixTime::now();
        let named = match self.config.as_os_str().is_empty() {
            true => material.named.clone(),
            false => Named::of(&Config::load(&self.config).map_err(|e| {
                let said = e.to_string();
                Refusal::new("config.unusable", said.clone(), format!("配置文件无法使用：{said}"))
            })?),
        };
        let read = Material::read(&named, Some(&material), now)?;
        let live = self.live();
        let next = self.build(&read, &live.set.overlay, &live.set, now)?;
        let report = self.judge(&live.set, &next, &[], now)?;
        Ok((report, read.files))
    }

    /// Puts these decisions in force, unless someone would be locked out whom no decision locks out and `despite` does not
    /// name. Works with what the files said when they were last good.
    pub fn adopt(&self, overlay: &Overlay, despite: &[String]) -> Result<Report, Refusal> {
        let _alone = self.changing.lock();
        self.change(&self.material(), overlay, despite)
    }

    /// Reads the configuration and every file again, and puts what they say in force. `why` is for the log. On a refusal
    /// the last good set stays, but for what was revoked or suspended.
    pub fn reload(&self, why: &str) -> Result<Report, Refusal> {
        let config = match self.config.as_os_str().is_empty() {
            true => None,
            false => match Config::load(&self.config) {
                Ok(config) => Some(config),
                Err(e) => {
                    let said = e.to_string();
                    let refusal =
                        Refusal::new("config.unusable", said.clone(), format!("配置文件无法使用：{said}"));
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
    pub(super) fn read_files(&self, why: &str, quiet: bool) -> Result<Report, Refusal> {
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
                    told(&mut refused.files, &refusal, why);
                }
                Err(refusal)
            }
        }
    }

    fn read_again(&self, config: Option<&Config>, why: &str) -> Result<Report, Refusal> {
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
                    tracing::warn!(code = note.code, "{}  {}", note.en, note.zh);
                }
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

    /// Remembers that the configuration was refused, and logs it once.
    fn refuse(&self, refusal: Refusal, why: &str) -> Refusal {
        told(&mut self.refused.lock().reload, &refusal, why);
        refusal
    }

    fn change(&self, material: &Material, overlay: &Overlay, despite: &[String]) -> Result<Report, Refusal> {
        let now = UnixTime::now();
        let live = self.live();
        let next = self.build(material, overlay, &live.set, now)?;
        let mut report = self.judge(&live.set, &next, despite, now)?;
        let stopping = report.affected.iter().filter(|a| !despite.contains(&a.member));
        let stopping: Vec<Affected> = stopping.cloned().collect();
        if !stopping.is_empty() {
            return Err(Refusal::lock_out(stopping));
        }
        report.cut = self.swap(&live.set, next, &report);
        Ok(report)
    }

    fn build(
        &self,
        material: &Material,
        overlay: &Overlay,
        last: &Standing,
        now: UnixTime,
    ) -> Result<Standing, Refusal> {
        let presented = self.seen.authorities();
        Standing::build(
            material,
            overlay,
            Some(last),
            &Before { last: Some((&last.trust, &last.lists)), remembered: &[], presented: &presented },
            now,
        )
    }

    fn judge(
        &self,
        live: &Standing,
        next: &Standing,
        despite: &[String],
        now: UnixTime,
    ) -> Result<Report, Refusal> {
        let connected = self.edges.lock().iter().flat_map(EdgeControl::chains).collect();
        let seen = self.seen.all();
        Rehearsal { live, next, seen: &seen, connected: &connected, now }.run(despite)
    }

    /// Puts a set in force: first new connections, then the open ones are judged by it. How many were cut.
    fn swap(&self, last: &Standing, next: Standing, report: &Report) -> usize {
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

fn told(before: &mut Option<Refusal>, refusal: &Refusal, why: &str) {
    if before.replace(refusal.clone()).as_ref() != Some(refusal) {
        tracing::error!(
            why,
            code = refusal.code,
            "{}; the last good set stays in force  {}；原有配置继续生效",
            refusal.en,
            refusal.zh
        );
    }
}
