//! Bodies that are broken, hostile, or in another form than they say.

use crate::*;

#[tokio::test]
async fn nothing_and_garbage() {
    for (media, empty) in [(JSON, "[]"), (NDJSON, "\n\n"), (XML, "<records/>"), (CSV, "决定书文号\r\n")]
    {
        refuse("no bytes", put(media, ""), 400, "body.empty").await;
        refuse("no record", put(media, empty), 400, "body.empty").await;
    }
    for (media, garbage, code) in [
        (JSON, "[{\"JDSWH\":\"金丝雀七七号\" \"x\"}]", "body.malformed"),
        (JSON, "{\"JDSWH\":\"金丝雀七七号\"} trailing", "body.trailing"),
        (XML, "<records><record><JDSWH>金丝雀七七号</DSRMC></record></records>", "body.malformed"),
        (XML, "<rows><row>金丝雀七七号</row></rows>", "body.xml-structure"),
        (XML, "<records><record kind=\"金丝雀七七号\"/></records>", "body.xml-forbidden"),
        (XML, "<records><?金丝雀七七号?></records>", "body.xml-forbidden"),
        (CSV, "金丝雀七七号,b\r\n1,2\r\n", "body.csv-header"),
    ] {
        refuse(garbage, put(media, garbage), 400, code).await;
    }
    assert_eq!(
        refuse_records("no JSON at all", put(JSON, "\"金丝雀七七号\"")).await,
        only("record.not-object")
    );
    let line = refuse_records("a broken line", put(NDJSON, "{\"JDSWH\":\"金丝雀七七号\n")).await;
    assert_eq!(line, only("record.syntax"));
    for other in ["\"金丝雀七七号\"", "7", "null", "[\"金丝雀七七号\"]"] {
        assert_eq!(
            refuse_records("no object", put(NDJSON, other)).await,
            only("record.not-object"),
            "{other}"
        );
    }
}

#[tokio::test]
async fn documents_cut_short() {
    let records = [spied(), spied()];
    for (media, body) in [(JSON, form(write_json, &records)), (XML, form(write_xml, &records))] {
        let cut = Bytes::from(body[..body.len() - 9].to_vec());
        refuse("cut", put(media, cut), 400, "body.truncated").await;
    }
}

#[tokio::test]
async fn character_sets() {
    let record = spied();
    for (media, body) in [
        (CSV, form(write_csv, std::slice::from_ref(&record))),
        (JSON, form(write_json, std::slice::from_ref(&record))),
        (NDJSON, ndjson(std::slice::from_ref(&record)).to_vec()),
        (XML, form(write_xml, std::slice::from_ref(&record))),
    ] {
        let text = std::str::from_utf8(&body).expect("UTF-8");
        let (gbk, _, lossy) = encoding_rs::GBK.encode(text);
        assert!(!lossy);
        let document = refuse(
            "GBK without being told",
            put(media, gbk.into_owned()),
            400,
            "body.encoding-looks-gb18030",
        )
        .await;
        assert!(document["detail"].as_str().is_some_and(|d| d.contains("gb18030")), "{document}");
    }
    let mut broken = form(write_json, std::slice::from_ref(&record));
    let place = broken.len() - 4;
    broken[place] = 0xFF;
    refuse("invalid UTF-8", put(JSON, broken), 400, "body.encoding").await;
    let odd = [form(write_csv, std::slice::from_ref(&record)).as_slice(), b"\xFF\xFF\r\n"].concat();
    refuse("invalid GB18030", put("text/csv; charset=gb18030", odd), 400, "body.encoding").await;
    // One bad line of NDJSON costs that line.
    let good = spied();
    let lines = [b"{\"BZ\":\"\xFF\"}\n".as_slice(), &ndjson(std::slice::from_ref(&good))].concat();
    let taken = alpha().ask(put(NDJSON, lines)).await.good(201);
    assert_eq!((taken["accepted"].as_u64(), taken["refused"].as_u64()), (Some(1), Some(1)));
    assert_eq!(refusals(&taken), only("record.encoding"));
    // A byte order mark is accepted; GBK that is announced is, too.
    for (media, write) in
        [(CSV, write_csv as fn(&[Record], &mut Vec<u8>)), (JSON, write_json), (XML, write_xml)]
    {
        let body = [b"\xEF\xBB\xBF".as_slice(), &form(write, &[spied()])].concat();
        assert_eq!(alpha().ask(put(media, body)).await.good(201)["accepted"], 1, "{media}");
    }
    let text = String::from_utf8(form(write_csv, &[spied()])).expect("UTF-8");
    let (gbk, _, _) = encoding_rs::GBK.encode(&text);
    assert_eq!(
        alpha().ask(put("text/csv; charset=gb18030", gbk.into_owned())).await.good(201)["accepted"],
        1
    );
}

#[tokio::test]
async fn a_field_stands_once_and_is_known() {
    let object = |more: &str| {
        let line = ndjson(&[spied()]);
        let line = std::str::from_utf8(&line).expect("UTF-8").trim_end().trim_end_matches('}').to_owned();
        format!("{line},{more}}}")
    };
    for twice in [
        "\"DSRMC\":\"金丝雀七七号\"",
        "\"当事人名称\":\"金丝雀七七号\"",
        "\"当事人\":\"金丝雀七七号\"",
        "\"\\u0044SRMC\":\"金丝雀七七号\"",
        "\"ref\":\"canary7788\"",
    ] {
        for media in [JSON, NDJSON] {
            assert_eq!(refuse_records(twice, put(media, object(twice))).await, only("record.field-twice"));
        }
    }
    for unknown in ["\"金丝雀七七号\":\"1\"", "\"canary7788\":\"1\"", "\"\":\"1\"", "\"dsrmc \":\"1\""]
    {
        assert_eq!(refuse_records(unknown, put(JSON, object(unknown))).await, only("record.field-unknown"));
    }
    let xml = String::from_utf8(form(write_xml, &[spied()])).expect("UTF-8");
    let twice = xml.replace("</record>", "<当事人名称>金丝雀七七号</当事人名称></record>");
    assert_eq!(refuse_records("twice in XML", put(XML, twice)).await, only("record.field-twice"));
    let unknown = xml.replace("</record>", "<canary7788>1</canary7788></record>");
    assert_eq!(refuse_records("unknown in XML", put(XML, unknown)).await, only("record.field-unknown"));
    let header = "DSRMC,当事人名称\r\n金丝雀七七号,金丝雀七七号\r\n";
    refuse("twice in a header", put(CSV, header), 400, "body.csv-header-twice").await;
    for (value, code) in [
        ("{\"a\":\"金丝雀七七号\"}", "field.not-text"),
        ("[\"金丝雀七七号\"]", "field.not-text"),
        ("true", "field.not-text"),
        ("7788", "field.number-for-text"),
        ("\"\\ud800\"", "field.lone-surrogate"),
        ("\"金丝雀七七号\\u0008\"", "field.control-character"),
    ] {
        let line = ndjson(&[penalty()]);
        let mut record: Value = serde_json::from_slice(&line).expect("JSON");
        record.as_object_mut().expect("an object").remove("CFYJ");
        let body = format!("{},\"CFYJ\":{value}}}", record.to_string().trim_end_matches('}'));
        assert_eq!(refuse_records(value, put(NDJSON, body)).await, only(code));
    }
}

#[tokio::test]
async fn document_types_and_entities() {
    let lol = "<!DOCTYPE records [<!ENTITY a \"金丝雀七七号\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">\
               <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]><records><record><DSRMC>&c;</DSRMC></record></records>";
    let file = "<!DOCTYPE records SYSTEM \"file:///etc/passwd\"><records><record/></records>";
    let external = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><records><record><DSRMC>&x;</DSRMC></record></records>";
    let own = "<records><record><DSRMC>&canary7788;</DSRMC></record></records>";
    for body in [lol, file, external, own] {
        let document = refuse("entities", put(XML, body), 400, "body.dtd").await;
        assert!(!document.to_string().contains("root:"), "{document}");
    }
    let plain = String::from_utf8(form(write_xml, &[penalty()])).expect("UTF-8");
    let five = plain.replace("</record>", "<BZ>&lt;&gt;&amp;&apos;&quot;&#20449;</BZ></record>");
    assert_eq!(alpha().ask(put(XML, five)).await.good(201)["accepted"], 1, "the five and numbers are read");
}

#[tokio::test]
async fn bombs_of_depth_and_number() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    refuse("lists", put(JSON, deep("[", "]")), 400, "body.too-deep").await;
    refuse(
        "objects",
        put(JSON, format!("[{}1{}]", "{\"a\":".repeat(200_000), "}".repeat(200_000))),
        400,
        "body.too-deep",
    )
    .await;
    refuse(
        "elements",
        put(XML, format!("<records><record>{}</record></records>", deep("<a>", "</a>"))),
        400,
        "body.too-deep",
    )
    .await;
    let line = refuse_records("a deep line", put(NDJSON, format!("{{\"BZ\":{}}}", deep("[", "]")))).await;
    assert_eq!(line, only("record.too-deep"));
    let million =
        |each: fn(usize) -> String, between: &str| (0..1_000_000).map(each).collect::<Vec<_>>().join(between);
    let json = format!("[{{{}}}]", million(|n| format!("\"f{n}\":1"), ","));
    refuse("a million members", put(JSON, json), 400, "body.too-many-fields").await;
    let xml = format!("<records><record>{}</record></records>", "<a/>".repeat(1_000_000));
    refuse("a million elements", put(XML, xml), 400, "body.too-many-fields").await;
    let csv = million(|n| format!("c{n}"), ",");
    refuse("a million columns", put(CSV, format!("{csv}\r\n1\r\n")), 400, "body.csv-header").await;
    let wide = format!("DSRMC\r\n{}\r\n", ",".repeat(1_000_000));
    assert_eq!(refuse_records("a wide row", put(CSV, wide)).await, only("record.too-many-fields"));
    let many = "{}\n".repeat(60_000);
    refuse("more records than are taken", put(NDJSON, many), 413, "body.too-many-records").await;
    let long = format!("{{\"BZ\":\"{}\"}}\n", "x".repeat(2 << 20));
    assert_eq!(refuse_records("a long line", put(NDJSON, long)).await, only("record.too-large"));
}

#[tokio::test]
async fn quotes_in_csv() {
    let csv = String::from_utf8(form(write_csv, &[spied()])).expect("UTF-8");
    refuse("never closed", put(CSV, format!("{csv}\"金丝雀七七号,a\r\n")), 400, "body.quote-unclosed").await;
    refuse(
        "never closed, long",
        put(CSV, format!("{csv}\"{}", "x\r\n".repeat(500_000))),
        400,
        "body.quote-unclosed",
    )
    .await;
    // Misplaced marks cost their row.
    let both = format!("{csv}a\"b,c\r\n");
    let taken = alpha().ask(put(CSV, both)).await.good(201);
    assert_eq!(refusals(&taken), [(Some(1), "record.quote".to_owned())]);
    let narrow = format!("{}1,2\r\n", String::from_utf8(form(write_csv, &[spied()])).expect("UTF-8"));
    assert_eq!(
        refusals(&alpha().ask(put(CSV, narrow)).await.good(201)),
        [(Some(1), "record.column-count".to_owned())]
    );
}

#[tokio::test]
async fn compressed_bodies_and_bombs() {
    // A department of its own: a bomb takes what memory a member may have, for a moment.
    let beta = CITY.peer("beta");
    let encoded = |encoding: &str, body: Vec<u8>| put(NDJSON, body).with("content-encoding", encoding);
    for (encoding, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        let body = ndjson(&[spied()]);
        assert_eq!(alpha().ask(encoded(encoding, pack(&body))).await.good(201)["accepted"], 1, "{encoding}");
        let whole = pack(&ndjson(&[spied(), spied()]));
        refuse("cut", encoded(encoding, whole[..whole.len() - 5].to_vec()), 400, "encoding.corrupt").await;
        refuse("not compressed", encoded(encoding, body.to_vec()), 400, "encoding.corrupt").await;
        // Far beyond their ratio, and beyond what a body may be at all.
        for mebibytes in [40, 300] {
            let bomb = pack(&vec![b' '; mebibytes << 20]);
            assert!(bomb.len() < 1 << 20, "{}", bomb.len());
            beta.ask(encoded(encoding, bomb)).await.refused(413, "body.decompressed-too-large");
        }
    }
    let nested = gzip(&gzip(&ndjson(&[spied()])));
    refuse("twice", encoded("gzip, gzip", nested), 415, "encoding.unsupported").await;
    refuse("another", encoded("br", vec![1, 2, 3]), 415, "encoding.unsupported").await;
    let mut wide = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    wide.window_log(27).expect("a window");
    wide.long_distance_matching(true).expect("a setting");
    wide.write_all(&ndjson(&[spied()])).expect("writing to memory");
    refuse(
        "a wide window",
        encoded("zstd", wide.finish().expect("writing to memory")),
        415,
        "encoding.window-too-large",
    )
    .await;
}
