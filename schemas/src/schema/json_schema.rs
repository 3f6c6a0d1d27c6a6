//! What a sender needs to see of a schema: JSON Schema and XML Schema for programs, a header row for people.

use serde_json::{Map, Value, json};

use crate::schema::{FieldType, Schema};

impl Schema {
    /// JSON Schema 2020-12 of one record, by field code. Says what can be said there; rules between fields are in
    /// `x-rules` as sentences.
    pub fn json_schema(&self) -> Value {
        let mut properties = Map::new();
        for field in &self.fields {
            let mut property =
                json!({ "type": ["string", "null"], "title": field.title, "x-class": &*field.class });
            if let Some(title) = &field.title_en {
                property["description"] = json!(title);
            }
            if let Some(note) = &field.note {
                property["$comment"] = json!(note);
            }
            if !field.aliases.is_empty() {
                property["x-aliases"] = json!(field.aliases);
            }
            match &field.kind {
                FieldType::Text(limits) | FieldType::Certificate { limits, .. } => {
                    // A limit in bytes is at least as many characters as bytes.
                    property["maxLength"] = json!(limits.max);
                }
                FieldType::Number { precision, scale } => {
                    property["type"] = json!(["string", "number", "null"]);
                    property["x-precision"] = json!(precision);
                    property["x-scale"] = json!(scale);
                }
                FieldType::Date => property["x-format"] = json!("YYYY/MM/DD"),
                FieldType::Code { set, separator, .. } => {
                    property["x-code-set"] = json!(&*set.id);
                    let codes: Vec<&str> = set.values.iter().map(|value| &*value.code).collect();
                    match separator {
                        Some(separator) => {
                            property["x-separator"] = json!(separator);
                            property["x-codes"] = json!(codes);
                        }
                        None if set
                            .values
                            .iter()
                            .all(|value| value.suffix.is_none() && value.accept.is_empty()) =>
                        {
                            let with_blank =
                                codes.iter().map(|code| json!(code)).chain([json!(""), Value::Null]);
                            property["enum"] = Value::Array(with_blank.collect());
                        }
                        None => property["x-codes"] = json!(codes),
                    }
                }
                FieldType::Identifier { form, .. } => {
                    let name = crate::identifier::Form::ALL.iter().find(|(_, known)| known == form);
                    property["x-identifier"] = json!(name.map(|(name, _)| name));
                }
            }
            properties.insert(field.code.to_string(), property);
        }
        for name in ["ref", "replaces", "authorisation"] {
            properties.insert(name.to_owned(), json!({ "type": "string", "maxLength": 128 }));
        }
        properties.insert("basis".to_owned(), json!({ "type": "string", "maxLength": 256 }));
        properties.insert("audience".to_owned(), json!({ "enum": ["public", "government", "authorised"] }));
        let required: Vec<&str> =
            self.fields.iter().filter(|field| field.required).map(|field| &*field.code).collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": format!("urn:xinqiao:schema:{}", self.id),
            "title": self.title.zh,
            "description": self.title.en,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    /// XML Schema 1.0 of a body, `<records><record>…</record></records>`: the fields by code in any order. It fixes names and
    /// numbers; the other rules are in [`Schema::json_schema`] and the catalogue, and are checked at submission.
    pub fn xml_schema(&self) -> String {
        let mut out = String::from(XSD_HEAD);
        for field in &self.fields {
            let least = u8::from(field.required);
            let kind = match &field.kind {
                FieldType::Number { precision, scale } => format!(
                    "<xs:simpleType><xs:restriction base=\"xs:decimal\"><xs:totalDigits value=\"{precision}\"/><xs:fractionDigits value=\"{scale}\"/></xs:restriction></xs:simpleType>"
                ),
                _ => "<xs:simpleType><xs:restriction base=\"xs:string\"/></xs:simpleType>".to_owned(),
            };
            let (code, title) = (escaped(&field.code), escaped(&field.title));
            out.push_str(&format!(
                "              <xs:element name=\"{code}\" minOccurs=\"{least}\"><xs:annotation><xs:documentation xml:lang=\"zh\">{title}</xs:documentation></xs:annotation>{kind}</xs:element>\n"
            ));
        }
        for name in ["ref", "replaces", "authorisation", "audience", "basis"] {
            out.push_str(&format!(
                "              <xs:element name=\"{name}\" minOccurs=\"0\" type=\"xs:string\"/>\n"
            ));
        }
        out.push_str(XSD_TAIL);
        out
    }

    /// A CSV header row of the Chinese titles, with a byte order mark so that spreadsheets open it as UTF-8.
    pub fn template_csv(&self) -> String {
        let mut out = String::from("\u{FEFF}");
        for (number, field) in self.fields.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            if field.title.contains([',', '"', '\n']) {
                out.push('"');
                out.push_str(&field.title.replace('"', "\"\""));
                out.push('"');
            } else {
                out.push_str(&field.title);
            }
        }
        out.push_str("\r\n");
        out
    }
}

const XSD_HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified">
  <xs:element name="records">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="record" maxOccurs="unbounded">
          <xs:complexType>
            <xs:all>
"#;

const XSD_TAIL: &str = "            </xs:all>
          </xs:complexType>
        </xs:element>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
</xs:schema>
";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
