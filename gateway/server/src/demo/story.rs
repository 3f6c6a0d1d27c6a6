//! What happens in the demonstration, step by step, each step checked.

use super::federation::{DATASETS, Department, NodePlan, Pki, Recipient, Unprepared, Upstream, free_port};
use super::process::{NodeProcess, this_program};
use crate::cli::console::say;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use xinqiao_certs::Role;
use xinqiao_client::{Client, ClientError, KeySource, PullSettings, Puller, Sent, Submission};
use xinqiao_schemas::synthetic::{
    Fault, Generator, Record, Table, write_csv, write_csv_gb18030, write_json, write_ndjson, write_xml,
};
use xinqiao_schemas::{Catalogue, Date, SubjectKind};

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

/// A department with what it has to send.
struct Sender {
    name: &'static str,
    title: &'static str,
    authorities: Vec<(String, String)>,
    records: Vec<Record>,
}

impl Sender {
    /// A penalty that may be shown, on such a subject.
    fn shown(&self, kind: SubjectKind) -> Option<&Record> {
        self.records.iter().find(|r| r.subject == kind && is_public(r) && r.table == Table::CityPenalty)
    }

    /// Makes a record the department's own.
    fn signs(&self, record: &mut Record) {
        let (code, name) = &self.authorities[0];
        for (column, value) in [
            ("JGMC", name),
            ("JGDM", code),
            ("CF_XZJG", name),
            ("XK_XZJG", name),
            ("CF_CFJG", name),
            ("CF_CFJGDM", code),
            ("XK_XKJG", name),
            ("XK_XKJGDM", code),
        ] {
            if record.get(column).is_some() {
                record.set(column, value.clone());
            }
        }
    }

    fn add(&mut self, mut record: Record) {
        self.signs(&mut record);
        self.records.push(record);
    }
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

impl<'o> Story<'o> {
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

    fn prepare(options: &'o Options) -> Result<Self, Broken> {
        let dir = &options.dir;
        let pki = Pki::create(&dir.join("pki"))?;
        let today = today();
        let mut senders = departments(options, today);
        for (role, name) in [
            (Role::Node, "city"),
            (Role::Node, "province-node"),
            (Role::Node, "nation-node"),
            (Role::Relay, "province"),
            (Role::Relay, "nation"),
            (Role::Recipient, "portal"),
            (Role::Recipient, "agency"),
            (Role::Recipient, "province-archive"),
            (Role::Recipient, "nation-archive"),
        ] {
            pki.issue(role, name)?;
        }
        for s in &senders {
            pki.issue(Role::Department, s.name)?;
        }
        let (city_port, province_port, nation_port) = (free_port()?, free_port()?, free_port()?);
        let streams =
            |recipient: &str| DATASETS.iter().map(|(d, _)| format!("{recipient}.{d}")).collect::<Vec<_>>();
        let recipient = |name, role, policy, encoding| Recipient { name, role, policy, encoding };
        let city = NodePlan {
            name: CITY,
            certificate: "city",
            port: city_port,
            local: 0,
            departments: senders
                .iter()
                .map(|s| Department { name: s.name, title: s.title, authorities: &s.authorities })
                .collect(),
            recipients: vec![
                recipient("province", Role::Relay, "province-government", "zstd"),
                recipient("portal", Role::Recipient, "portal-public", "gzip"),
                recipient("agency", Role::Recipient, "agency-authorised", "gzip"),
            ],
            upstreams: Vec::new(),
            extra: String::new(),
        };
        // The province has not registered the authorities of the third department: their records come back.
        let registered: Vec<String> =
            senders[..2].iter().flat_map(|s| s.authorities.iter().map(|(code, _)| code.clone())).collect();
        let city_config = city.write(&dir.join("city"), &pki)?;
        let province = NodePlan {
            name: PROVINCE,
            certificate: "province-node",
            port: province_port,
            local: 0,
            departments: Vec::new(),
            recipients: vec![
                recipient("nation", Role::Relay, "nation-government", "zstd"),
                recipient("province-archive", Role::Recipient, "province-government", "gzip"),
            ],
            upstreams: vec![Upstream {
                name: "city",
                node: CITY,
                port: city_port,
                keys: dir.join("city/keys.json"),
                shown: "province",
                streams: streams("province"),
                authorities: registered,
            }],
            extra: String::new(),
        };
        let province_config = province.write(&dir.join("province"), &pki)?;
        let nation = NodePlan {
            name: NATION,
            certificate: "nation-node",
            port: nation_port,
            local: 0,
            departments: Vec::new(),
            recipients: vec![recipient("nation-archive", Role::Recipient, "nation-government", "gzip")],
            upstreams: vec![Upstream {
                name: "province-node",
                node: PROVINCE,
                port: province_port,
                keys: dir.join("province/keys.json"),
                shown: "nation",
                streams: streams("nation"),
                authorities: vec!["11*".into()],
            }],
            extra: String::new(),
        };
        let nation_config = nation.write(&dir.join("nation"), &pki)?;
        let program = this_program()?;
        let start = |name: &str, config: &Path| {
            NodeProcess::start(&program, config, &dir.join(format!("{name}.log")))
        };
        let city = start("city", &city_config)?;
        let province = start("province", &province_config)?;
        let nation = start("nation", &nation_config)?;
        let person = senders[0].shown(SubjectKind::NaturalPerson).cloned();
        let victim = senders[0].shown(SubjectKind::LegalPerson).cloned();
        spoil(&mut senders, options.seed, today);
        let story = Self {
            options,
            pki,
            city,
            province,
            nation,
            senders,
            sent: Vec::new(),
            accepted: 0,
            refused: 0,
            warned: 0,
            why: BTreeMap::new(),
            pulled: BTreeMap::new(),
            rejected: 0,
            person,
            victim,
        };
        story.step("Three nodes, started as processes", "三个节点已作为独立进程启动");
        for (name, node) in [(CITY, &story.city), (PROVINCE, &story.province), (NATION, &story.nation)] {
            story.tell(
                format!("{name}  https://{}  health http://{}/readyz", node.exchange, node.local),
                json!({"step": "started", "node": name, "exchange": node.exchange.to_string(), "local": node.local.to_string()}),
            );
        }
        Ok(story)
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
                        sent.answer.accepted + sent.answer.refused == part.len() as u64,
                        "every record of a request is accepted or refused",
                    )?;
                    tally.0 += sent.answer.accepted;
                    tally.1 += sent.answer.refused;
                    tally.2 += sent.answer.warned;
                    for e in
                        sent.answer.errors.iter().filter(|e| e.severity == "refuse" && e.record.is_some())
                    {
                        *self.why.entry(format!("{}  {}", e.code, e.zh)).or_insert(0) += 1;
                    }
                    let name = receipts.join(format!("{:04}.receipt.json", self.sent.len() + 1));
                    std::fs::write(name, sent.answer.receipt.get())?;
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
            let view = client.submission(&sent.answer.submission).await?;
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
        let recall = client.send(&submission).await?.answer.submission;
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
            let everywhere = tree["complete"] == true
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
                other.map(|s| s.answer.accepted)
            ))),
        }
    }

    /// One natural person's penalty, before and as each recipient saw it.
    fn one_person(&self) -> Result<(), Broken> {
        self.step(
            "One person's record, before and as each recipient saw it (made-up person)",
            "同一条自然人处罚：报送内容与各接收方所见（虚构人物）",
        );
        let person =
            self.person.clone().ok_or_else(|| Broken("no natural person among the records".into()))?;
        let shown = |r: &Record| {
            r.fields
                .iter()
                .filter(|(_, v)| !v.is_empty())
                .map(|(c, v)| (c.to_string(), Value::from(v.as_str())))
                .collect::<serde_json::Map<_, _>>()
        };
        self.tell(
            format!("sent: {}", Value::Object(shown(&person))),
            json!({"step": "person", "who": "sent", "record": shown(&person)}),
        );
        let document = person.get("JDSWH").unwrap_or_default();
        let identity = person.get("SFZH").or_else(|| person.get("ZJHM")).unwrap_or_default().to_owned();
        for member in ["province-archive", "nation-archive", "portal", "agency"] {
            let lines = self.lines(member, PENALTY)?;
            let seen = lines.iter().find(|l| l["data"]["CF_WSH"] == document);
            let text = seen.map_or("nothing (withheld)  未共享".to_owned(), ToString::to_string);
            self.tell(format!("{member}: {text}"), json!({"step": "person", "who": member, "line": seen}));
            if matches!(member, "province-archive" | "nation-archive") {
                hold(seen.is_some(), "the superior platforms get the record")?;
            }
            if matches!(member, "portal" | "agency") {
                hold(seen.is_none(), "natural persons do not reach the portal or the agency")?;
                let leaked = !identity.is_empty() && lines.iter().any(|l| l.to_string().contains(&identity));
                hold(!leaked, "an identity number reaches the portal or the agency")?;
            }
        }
        Ok(())
    }

    /// Receipts, batches and the log, with the same command an auditor uses.
    fn verify(&self) -> Result<(), Broken> {
        self.step("Receipts, batches, chains and logs are verified offline", "离线验证回执、批次、链与日志");
        let program = this_program()?;
        let run = |args: &[&std::ffi::OsStr]| -> Result<(), Broken> {
            let out = std::process::Command::new(&program).args(args).output()?;
            let text = String::from_utf8_lossy(&out.stdout);
            self.tell(text.trim(), json!({"step": "verified", "output": text.trim()}));
            let error = String::from_utf8_lossy(&out.stderr).into_owned();
            if out.status.success() { Ok(()) } else { Err(Broken(format!("verification failed: {error}"))) }
        };
        let dir = &self.options.dir;
        let os = |s: &'static str| std::ffi::OsStr::new(s);
        for (node, members) in [
            ("city", vec!["portal", "agency"]),
            ("province", vec!["province-archive"]),
            ("nation", vec!["nation-archive"]),
        ] {
            let keys = dir.join(node).join("keys.json");
            let mut paths = Vec::new();
            for m in members {
                paths.extend(DATASETS.iter().map(|(d, _)| dir.join("pulled").join(format!("{m}.{d}"))));
            }
            if node == "city" {
                paths.push(dir.join("receipts"));
            }
            let mut args = vec![os("verify"), os("--keys"), keys.as_os_str()];
            args.extend(paths.iter().map(|p| p.as_os_str()));
            run(&args)?;
        }
        Ok(())
    }

    fn summary(self, began: Instant) -> Result<(), Broken> {
        let seconds = began.elapsed().as_secs_f64();
        self.step("Summary", "小结");
        self.tell(
            format!(
                "{} records accepted ({} doubtful), {} refused at the city, {} rejected by the province and returned; one recall confirmed everywhere; everything verified in {seconds:.1} s",
                self.accepted, self.warned, self.refused, self.rejected
            ),
            json!({"step": "summary", "accepted": self.accepted, "warned": self.warned, "refused": self.refused, "rejected": self.rejected, "seconds": seconds}),
        );
        self.tell(
            format!("共接收 {} 条（其中疑问 {} 条），拒绝 {} 条，省级退回 {} 条；一条记录已在各级撤回；全部验证通过", self.accepted, self.warned, self.refused, self.rejected),
            json!({"step": "done"}),
        );
        for (name, node) in [("city", self.city), ("province", self.province), ("nation", self.nation)] {
            hold(node.stop(), &format!("the node `{name}` stops cleanly"))?;
        }
        // After a clean stop the log on disk is complete: its root is computed from every entry.
        let dir = &self.options.dir;
        for (name, node) in [("city", CITY), ("province", PROVINCE), ("nation", NATION)] {
            let out = std::process::Command::new(this_program()?)
                .args(["log", "verify"])
                .arg(dir.join(name).join("data/log"))
                .arg("--keys")
                .arg(dir.join(name).join("keys.json"))
                .args(["--node", node])
                .output()?;
            hold(
                out.status.success(),
                &format!("the log of `{name}` verifies: {}", String::from_utf8_lossy(&out.stderr)),
            )?;
            if !self.options.json {
                say(format!("   log of {node}: {}", String::from_utf8_lossy(&out.stdout).trim()));
            }
        }
        Ok(())
    }
}

fn today() -> Date {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
    Date::business_day(now)
}

fn is_public(r: &Record) -> bool {
    matches!(r.get("XXSYFW"), None | Some("" | "0" | "公示" | "社会公开"))
}

/// Three departments share the synthetic authorities among them.
fn departments(options: &Options, today: Date) -> Vec<Sender> {
    let mut generator = Generator::new(options.seed, today).with_references();
    let mut senders = vec![
        Sender {
            name: "market-supervision",
            title: "市场监督管理局（样例）",
            authorities: Vec::new(),
            records: Vec::new(),
        },
        Sender {
            name: "housing-construction",
            title: "住房和建设局（样例）",
            authorities: Vec::new(),
            records: Vec::new(),
        },
        Sender {
            name: "culture-tourism",
            title: "文化和旅游局（样例）",
            authorities: Vec::new(),
            records: Vec::new(),
        },
    ];
    let each = options.records / Table::ALL.len();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut codes: BTreeMap<String, String> = BTreeMap::new();
    // Codes are learnt from tables that carry them: the 2017 tables name the authority only.
    for table in [Table::CityPenalty, Table::CityLicence] {
        for r in generator.clone().records(table, 400) {
            if let (Some(name), Some(code)) = (r.get("JGMC"), r.get("JGDM")) {
                codes.insert(name.to_owned(), code.to_owned());
            }
        }
    }
    for (n, (name, code)) in codes.iter().enumerate() {
        let d = n % senders.len();
        known.insert(name.clone(), d);
        senders[d].authorities.push((code.clone(), name.clone()));
    }
    for table in Table::ALL {
        for r in generator.records(table, each) {
            let name = ["JGMC", "CF_XZJG", "XK_XZJG", "CF_CFJG", "XK_XKJG"]
                .iter()
                .find_map(|c| r.get(c))
                .unwrap_or("");
            if let Some(d) = known.get(name) {
                senders[*d].records.push(r);
            }
        }
    }
    complete(&mut senders, generator);
    senders
}

/// Few records, or unlucky ones, may lack what the story is about: every department has some of every table, and the
/// first one a penalty on a natural and on a legal person that may be shown.
fn complete(senders: &mut [Sender], mut generator: Generator) {
    for sender in senders.iter_mut() {
        for table in Table::ALL {
            if !sender.records.iter().any(|r| r.table == table) {
                let record = generator.record(table);
                sender.add(record);
            }
        }
    }
    for kind in [SubjectKind::NaturalPerson, SubjectKind::LegalPerson] {
        while senders[0].shown(kind).is_none() {
            let record = generator.record_about(Table::CityPenalty, Some(kind));
            senders[0].add(record);
        }
    }
}

/// Puts wrong and doubtful records among the good ones.
fn spoil(senders: &mut [Sender], seed: u64, today: Date) {
    let mut generator = Generator::new(seed.wrapping_add(1), today).with_references().starting_at(50_000_000);
    for (n, fault) in Fault::ALL.iter().cycle().take(Fault::ALL.len() * 3).enumerate() {
        let table = Table::ALL[n % Table::ALL.len()];
        let sender = n % senders.len();
        let Some(mut record) = generator.faulty(table, *fault) else { continue };
        senders[sender].signs(&mut record);
        senders[sender].records.push(record);
    }
}

/// A body in one of the forms, in turn.
fn body(
    turn: usize,
    table: Table,
    records: &[Record],
    catalogue: &Catalogue,
) -> (&'static str, Option<&'static str>, Vec<u8>) {
    let mut out = Vec::new();
    match turn % 5 {
        0 => {
            write_ndjson(records, &mut out);
            ("application/x-ndjson", None, out)
        }
        1 => {
            write_json(records, &mut out);
            ("application/json", None, out)
        }
        2 => {
            write_xml(records, &mut out);
            ("application/xml", None, out)
        }
        3 => {
            write_csv(records, &mut out);
            ("text/csv", None, out)
        }
        _ => match catalogue.schema(table.schema()) {
            Some(schema) => {
                write_csv_gb18030(records, schema, &mut out);
                ("text/csv", Some("gb18030"), out)
            }
            None => {
                write_csv(records, &mut out);
                ("text/csv", None, out)
            }
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_there_is_enough_to_tell_of() {
        let counts = [60, 61, 65, 77, 400, 599, 3_000];
        let seeds = (0..20).chain([350_200, u64::MAX]);
        for (records, seed) in seeds.flat_map(|seed| counts.map(|count| (count, seed))) {
            let options = Options { dir: PathBuf::new(), records, seed, json: true };
            let senders = departments(&options, today());
            for kind in [SubjectKind::NaturalPerson, SubjectKind::LegalPerson] {
                assert!(senders[0].shown(kind).is_some(), "{records} {seed}: no {kind:?}");
            }
            for (sender, table) in senders.iter().flat_map(|s| Table::ALL.map(|t| (s, t))) {
                let some = sender.records.iter().any(|r| r.table == table);
                assert!(some, "{records} {seed}: {} has none of {table:?}", sender.name);
            }
        }
    }
}
