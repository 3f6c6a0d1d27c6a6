//! Coarser values: a year for a date, a city for an address, an order of magnitude for an amount.

use super::address;
use crate::date::Date;
use crate::number;

/// The year of an accepted date; empty if it is none.
pub fn year(date: &str) -> String {
    Date::parse_accepted(date).map(|(date, _)| format!("{:04}", date.year())).unwrap_or_default()
}

/// Province and city of an address; empty if it begins otherwise.
pub fn division(address: &str) -> String {
    address::down_to_city(address).to_owned()
}

/// The order of magnitude of a decimal, as `lower-upper` in the unit of the value: `0`, `<0.1`, `0.1-1`,
/// `1-10` and so on. The lower end belongs to the band. Empty if it is no number; a negative one keeps its sign.
pub fn amount_band(amount: &str) -> String {
    let Ok(normal) = number::check(amount, 40, 20) else { return String::new() };
    if normal == "0" {
        return "0".to_owned();
    }
    let (sign, size) = match normal.strip_prefix('-') {
        Some(size) => ("-", size),
        None => ("", normal.as_ref()),
    };
    let whole = size.split('.').next().unwrap_or("0");
    if whole != "0" {
        let upper = format!("1{}", "0".repeat(whole.len()));
        return format!("{sign}{}-{upper}", &upper[..upper.len() - 1]);
    }
    if size.starts_with("0.0") { format!("{sign}<0.1") } else { format!("{sign}0.1-1") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_coarse() {
        assert_eq!(year("2026/11/21"), "2026");
        assert_eq!(year("长期"), "2099");
        assert_eq!(year("yesterday"), "");
        assert_eq!(division("福建省厦门市思明区样例路1号"), "福建省厦门市");
        assert_eq!(division("样例路1号"), "");
        for (amount, band) in [
            ("0", "0"),
            ("0.05", "<0.1"),
            ("0.2", "0.1-1"),
            ("1", "1-10"),
            ("9.99", "1-10"),
            ("10", "10-100"),
            ("123456.7", "100000-1000000"),
            ("-3", "-1-10"),
            ("ten", ""),
        ] {
            assert_eq!(amount_band(amount), band, "{amount}");
        }
    }
}
