//! What happens in the demonstration, step by step, each step checked.

mod cast;
mod ending;
mod stage;

use self::cast::{Sender, body, today};
use super::federation::{DATASETS, Pki, Unprepared};
use super::process::NodeProcess;
use crate::console::say;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use xinqiao_client::{Client, ClientError, KeySource, PullSettings, Puller, Sent, Submission};
use xinqiao_explain::Explain;
use xinqiao_schemas::Catalogue;
use xinqiao_schemas::synthetic::{Record, Table, write_ndjson};

/// How the demonstration is run.
pub struct Options {
    /// Where everything is kept.
    pub dir: PathBuf,
    /// Records to send.
    pub records: usize,
    /// Seed of the made-up records.
    pub seed: u64,
    /// One JSON object a step instead of text.
    pub json: bool,
}

const CITY: &str = "demo.example/350200-credit";
const PROVINCE: &str = "demo.example/350000-credit";
const NATION: &str = "demo.example/100000-credit";
const PENALTY: &str = "administrative-penalty";

/// A step that did not hold.
#[derive(Debug)]
pub struct Broken(pub String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Broken {}

impl From<Unprepared> for Broken {
    fn from(e: Unprepared) -> Self {
        Self(e.to_string())
    }
}
impl From<super::process::NotStarted> for Broken {
    fn from(e: super::process::NotStarted) -> Self {
        Self(e.to_string())
    }
}
impl From<std::io::Error> for Broken {
    fn from(e: std::io::Error) -> Self {
        Self(e.to_string())
    }
}
impl From<ClientError> for Broken {
    fn from(e: ClientError) -> Self {
        Self(format!("{}: {}", e.code(), e.english()))
    }
}

fn hold(condition: bool, what: &str) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(Broken(format!("not as it should be: {what}"))) }
}

/// Tells the whole story.
pub async fn tell(options: &Options) -> Result<(), Broken> {
    let began = Instant::now();
    let mut story = Story::prepare(options)?;
    story.send().await?;
    story.wait_for_relay().await?;
    story.feedback().await?;
    story.pull_all().await?;
    story.recall().await?;
    story.one_person()?;
    story.verify()?;
    story.summary(began)
}

struct Story<'o> {
    options: &'o Options,
    pki: Pki,
    city: NodeProcess,
    province: NodeProcess,
    nation: NodeProcess,
    senders: Vec<Sender>,
    sent: Vec<(usize, Sent)>,
    accepted: u64,
    refused: u64,
    warned: u64,
    why: BTreeMap<String, u64>,
    pulled: BTreeMap<&'static str, u64>,
    rejected: u64,
    person: Option<Record>,
    victim: Option<Record>,
}

impl Story<'_> {
    fn step(&self, en: &str, zh: &str) {
        if !self.options.json {
            say(format!("\n== {en}\n   {zh}"));
        }
    }

    fn tell(&self, text: impl AsRef<str>, data: Value) {
        if self.options.json {
            say(data.to_string());
        } else {
            say(format!("   {}", text.as_ref()));
        }
    }

    fn client(&self, member: &str, gateway: SocketAddr) -> Result<Client, Broken> {
        Ok(Client::connect(&self.pki.profile(member, gateway))?)
    }

    async fn send(&mut self) -> Result<(), Broken> {
        self.step(
            "Three departments send licences and penalties over mutual TLS: JSON, NDJSON, XML, CSV in UTF-8 and GB18030",
            "三个部门以双向 TLS 报送许可与处罚：JSON、NDJSON、XML、CSV（UTF-8 与 GB18030）",
        );
        let catalogue = Catalogue::builtin().map_err(|e| Broken(e.to_string()))?;
        let receipts = self.options.dir.join("receipts");
        std::fs::create_dir_all(&receipts)?;
        for d in 0..self.senders.len() {
            let client = self.client(self.senders[d].name, self.city.exchange)?;
            let mut tally = (0u64, 0u64, 0u64);
            let mut forms = BTreeSet::new();
            for (t, table) in Table::ALL.into_iter().enumerate() {
                let records: Vec<Record> =
                    self.senders[d].records.iter().filter(|r| r.table == table).cloned().collect();
                for (n, part) in records.chunks(250).enumerate() {
                    let (media, charset, body) = body(n + d + t, table, part, &catalogue);
                    forms.insert(match charset {
                        Some(_) => "CSV/GB18030",
                        None => media.rsplit(['/', '-']).next().unwrap_or(media),
                    });
                    let submission = Submission {
                        schema: Some(table.schema()),
                        media_type: media,
                        charset,
                        ..Submission::new(table.dataset(), body)
                    };
                    let sent = client.send(&submission).await?;
                    hold(
                        sent.response.accepted + sent.response.refused == part.len() as u64,
                        "every record of a request is accepted or refused",
                    )?;
                    tally.0 += sent.response.accepted;
                    tally.1 += sent.response.refused;
                    tally.2 += sent.response.warned;
                    for e in
                        sent.response.errors.iter().filter(|e| e.severity == "refuse" && e.record.is_some())
                    {
                        *self.why.entry(format!("{}  {}", e.code, e.zh)).or_insert(0) += 1;
                    }
                    let name = receipts.join(format!("{:04}.receipt.json", self.sent.len() + 1));
                    std::fs::write(name, sent.response.receipt.get())?;
                    self.sent.push((d, sent));
                }
            }
            let s = &self.senders[d];
            self.tell(
                format!("{} ({}): {} accepted, {} of them doubtful, {} refused  [{}]", s.name, s.title, tally.0, tally.2, tally.1, forms.into_iter().collect::<Vec<_>>().join(", ")),
                json!({"step": "sent", "department": s.name, "accepted": tally.0, "warned": tally.2, "refused": tally.1}),
            );
            self.accepted += tally.0;
            self.refused += tally.1;
            self.warned += tally.2;
        }
        hold(
            self.accepted > 0 && self.refused > 0 && self.warned > 0,
            "some records are accepted, some doubtful, some refused",
        )?;
        self.step("Why records were refused", "被拒绝的原因");
        for (why, n) in &self.why {
            self.tell(format!("{n:>4} × {why}"), json!({"step": "refused", "why": why, "records": n}));
        }
        // The same request again: the same answer, byte for byte, and nothing counted twice.
        let (d, first) = &self.sent[0];
        let table = Table::ALL[0];
        let records: Vec<Record> =
            self.senders[*d].records.iter().filter(|r| r.table == table).take(250).cloned().collect();
        let (media, charset, body) = body(*d, table, &records, &catalogue);
        let again = Submission {
            schema: Some(table.schema()),
            media_type: media,
            charset,
            idempotency_key: Some(first.idempotency_key.clone()),
            ..Submission::new(table.dataset(), body)
        };
        let repeated = self.client(self.senders[*d].name, self.city.exchange)?.send(&again).await?;
        hold(repeated.raw == first.raw, "a repeated request is answered byte for byte as the first")?;
        self.tell(
            "one request repeated with its key: the same answer, byte for byte",
            json!({"step": "repeated"}),
        );
        Ok(())
    }

    /// The province pulls from the city and the nation from the province, each by itself.
    async fn wait_for_relay(&mut self) -> Result<(), Broken> {
        self.step(
            "The province pulls, verifies and acknowledges; the nation pulls from the province",
            "省级节点拉取、验签并确认；国家节点再从省级节点拉取",
        );
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let city = settled(self.city.local, "province.").await?;
            let province = settled(self.province.local, "nation.").await?;
            if city && province && self.all_acknowledged().await? {
                break;
            }
            hold(Instant::now() < until, "the relay finishes in time")?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for (name, node) in [("city → province", &self.city), ("province → nation", &self.province)] {
            let metrics = scrape(node.local).await?;
            let lines: Vec<String> = metrics
                .lines()
                .filter(|l| {
                    l.starts_with("xinqiao_delivery_batches_total")
                        && (l.contains("acknowledged") || l.contains("partial"))
                })
                .map(str::to_owned)
                .collect();
            let total: u64 = lines.iter().filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum();
            self.tell(
                format!("{name}: {total} batches acknowledged"),
                json!({"step": "relayed", "way": name, "batches": total}),
            );
            hold(total > 0, "batches were acknowledged")?;
        }
        Ok(())
    }

    async fn all_acknowledged(&self) -> Result<bool, Broken> {
        for (d, sent) in &self.sent {
            let client = self.client(self.senders[*d].name, self.city.exchange)?;
            let view = client.submission(&sent.response.submission).await?;
            let mine = view["streams"].as_array().cloned().unwrap_or_default();
            let waiting = mine.iter().any(|s| {
                s["recipient"] == "province"
                    && !matches!(s["state"].as_str(), Some("acknowledged" | "partly-rejected"))
            });
            if waiting {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn feedback(&mut self) -> Result<(), Broken> {
        self.step("What the province rejected is back at the department", "省级节点退回的记录已反馈给部门");
        for s in &self.senders {
            let client = self.client(s.name, self.city.exchange)?;
            let (mut after, mut n, mut codes) = (0, 0u64, BTreeMap::new());
            loop {
                let page = client.feedback(after, Duration::ZERO).await?;
                if page.feedback.is_empty() {
                    break;
                }
                for f in &page.feedback {
                    n += 1;
                    *codes.entry(f.code.clone()).or_insert(0u64) += 1;
                }
                after = page.next;
            }
            self.rejected += n;
            self.tell(
                format!("{}: {n} records {codes:?}", s.name),
                json!({"step": "feedback", "department": s.name, "records": n}),
            );
        }
        hold(self.rejected > 0, "the province rejected the records of an authority it has not registered")
    }

    async fn pull(&mut self, member: &'static str, gateway: SocketAddr, node: &str) -> Result<(), Broken> {
        let mut total = 0;
        for (dataset, _) in DATASETS {
            let client = self.client(member, gateway)?;
            let keys = KeySource::File(self.options.dir.join(node).join("keys.json"));
            let stream = format!("{member}.{dataset}");
            let settings = PullSettings::new(&stream, self.options.dir.join("pulled"), keys);
            let mut puller = Puller::open(client, settings).await?;
            while let Some(pulled) = puller.next(Duration::ZERO).await? {
                total += pulled.records;
            }
            puller.acknowledge(|_, _| None).await?;
        }
        *self.pulled.entry(member).or_insert(0) += total;
        Ok(())
    }

    async fn pull_all(&mut self) -> Result<(), Broken> {
        self.step(
            "The portal, a rating agency and two archives pull, verify and acknowledge",
            "公示门户、评级机构以及省级、国家级存档系统拉取、验证并确认",
        );
        let (city, province, nation) = (self.city.exchange, self.province.exchange, self.nation.exchange);
        self.pull("portal", city, "city").await?;
        self.pull("agency", city, "city").await?;
        self.pull("province-archive", province, "province").await?;
        // The nation's relay is a moment behind: its archive is pulled until it has what the province passed on.
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            self.pull("nation-archive", nation, "nation").await?;
            let want = self.lines("province-archive", PENALTY)?.len();
            if self.lines("nation-archive", PENALTY)?.len() >= want {
                break;
            }
            hold(Instant::now() < until, "the nation's archive has what the province passed on")?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for (who, n) in &self.pulled {
            self.tell(format!("{who}: {n} lines"), json!({"step": "pulled", "recipient": who, "lines": n}));
        }
        Ok(())
    }

    /// Every line a recipient has pulled of a dataset.
    fn lines(&self, member: &str, dataset: &str) -> Result<Vec<Value>, Broken> {
        let dir = self.options.dir.join("pulled").join(format!("{member}.{dataset}"));
        let mut all = Vec::new();
        for seq in 1.. {
            let path = dir.join(format!("{seq}.payload.ndjson.gz"));
            let Ok(bytes) = std::fs::read(&path) else { break };
            let mut text = Vec::new();
            let encoding = xinqiao_exchange::event::Encoding::Gzip;
            xinqiao_exchange::payload::decompress(encoding, &bytes, &mut text)
                .map_err(|e| Broken(e.to_string()))?;
            for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                all.push(serde_json::from_slice(line).map_err(|e| Broken(e.to_string()))?);
            }
        }
        Ok(all)
    }

    async fn recall(&mut self) -> Result<(), Broken> {
        self.step(
            "One penalty is repaired (信用修复) and recalled everywhere",
            "一条处罚完成信用修复，在各级同步撤下",
        );
        let victim = self.victim.clone().ok_or_else(|| Broken("no penalty to recall".into()))?;
        let reference = victim.get("ref").unwrap_or_default().to_owned();
        let name = self.senders[0].name;
        let client = self.client(name, self.city.exchange)?;
        let mut text = Vec::new();
        today().write_slash(&mut text);
        let effective = String::from_utf8_lossy(&text).into_owned();
        let body = json!({"ref": reference, "reason": "repair", "basis": "样信修〔2026〕1号", "effective": effective});
        let submission = Submission {
            op: "repair",
            schema: Some(victim.table.schema()),
            media_type: "application/json",
            ..Submission::new(PENALTY, body.to_string())
        };
        let recall = client.send(&submission).await?.response.submission;
        self.tell(format!("recall {recall}"), json!({"step": "recall", "id": recall}));
        let (city, province, nation) = (self.city.exchange, self.province.exchange, self.nation.exchange);
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            for (member, gateway, node) in [
                ("portal", city, "city"),
                ("agency", city, "city"),
                ("province-archive", province, "province"),
                ("nation-archive", nation, "nation"),
            ] {
                self.pull(member, gateway, node).await?;
            }
            let tree = client.recall(&recall).await?;
            // The province is a relay: what lies behind it is asked of the archives there.
            let confirmed =
                ["complete", "confirmed-next-tier-only"].map(Some).contains(&tree["state"].as_str());
            let everywhere = confirmed
                && ["portal", "agency", "province-archive", "nation-archive"].iter().all(|m| {
                    self.lines(m, PENALTY).is_ok_and(|lines| lines.iter().any(|l| l["op"] == "repair"))
                });
            if everywhere {
                for r in tree["recipients"].as_array().into_iter().flatten() {
                    self.tell(
                        format!(
                            "{}: {}",
                            r["stream"].as_str().unwrap_or(""),
                            r["state"].as_str().unwrap_or("")
                        ),
                        json!({"step": "recall-state", "stream": r["stream"], "state": r["state"]}),
                    );
                }
                break;
            }
            hold(Instant::now() < until, "the recall is confirmed everywhere")?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.tell("province-archive and nation-archive hold the recall too", json!({"step": "recall-below"}));
        let mut body = Vec::new();
        write_ndjson(std::slice::from_ref(&victim), &mut body);
        let again = Submission { schema: Some(victim.table.schema()), ..Submission::new(PENALTY, body) };
        match client.send(&again).await {
            Err(ClientError::Problem(p)) if p.errors.iter().any(|e| e.code == "record.recalled") => {
                let zh = p.errors.iter().find(|e| e.code == "record.recalled").map_or("", |e| e.zh.as_str());
                self.tell(
                    format!("sent again: refused, record.recalled  {zh}"),
                    json!({"step": "resend", "code": "record.recalled"}),
                );
                Ok(())
            }
            other => Err(Broken(format!(
                "a recalled record was not refused: {:?}",
                other.map(|s| s.response.accepted)
            ))),
        }
    }
}

async fn scrape(local: SocketAddr) -> Result<String, Broken> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(local).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// Has everything in the streams of a recipient been sealed?
async fn settled(local: SocketAddr, recipient: &str) -> Result<bool, Broken> {
    let metrics = scrape(local).await?;
    let pending: f64 = metrics
        .lines()
        .filter(|l| l.starts_with("xinqiao_queue_pending_records") && l.contains(&format!("\"{recipient}")))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    Ok(pending == 0.0)
}
