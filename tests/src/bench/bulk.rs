//! A thousand records per request, in each form, for two recipients and for ten.

use super::bodies::{Form, submissions};
use super::load::{Load, Outcome, Until, middle, run as load};
use super::site::{Site, Version};
use super::{Fault, Settings, say};

const RECORDS: usize = 1_000;
const IN_FLIGHT: usize = 4;

pub(super) fn run(settings: &Settings) -> Result<(), Fault> {
    say(format!("\n== {RECORDS} records per request, {IN_FLIGHT} in flight"));
    say(
        "                             records/s   CPU µs/record   generator µs/record   p99 ms   others, cores",
    );
    let cases = [(Form::Ndjson, 2), (Form::Xml, 2), (Form::Csv, 2), (Form::Ndjson, 10)];
    let sites = [Site::start(&settings.dir, 2)?, Site::start(&settings.dir, 10)?];
    let mut outcomes: Vec<Vec<Outcome>> = cases.iter().map(|_| Vec::new()).collect();
    for _ in 0..settings.rounds {
        for ((form, recipients), outcomes) in cases.iter().zip(&mut outcomes) {
            let site = &sites[usize::from(*recipients == 10)];
            let it = Load {
                address: site.address(),
                pids: &site.pids(),
                connector: site.connector(true)?,
                version: Version::Http1,
                in_flight: IN_FLIGHT,
                requests: submissions(*form, 2, RECORDS)?,
                checked: true,
                anew: false,
            };
            outcomes.push(load(&it, Until::Time(settings.window))?);
        }
    }
    for ((form, recipients), outcomes) in cases.iter().zip(&outcomes) {
        let name = format!("{}, {recipients} recipients", form.name());
        say(format!(
            "{name:<26} {:11.0} {:15.2} {:21.2} {:8.1} {:15.2}",
            middle(outcomes, Outcome::records_per_second),
            middle(outcomes, Outcome::server_cpu_per_record),
            middle(outcomes, |o| o.generator_cpu() / RECORDS as f64),
            middle(outcomes, |o| o.p99),
            middle(outcomes, |o| o.spent.others),
        ));
    }
    Ok(())
}
