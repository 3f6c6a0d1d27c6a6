use super::*;

fn none(_: Call<'_, ()>) -> Response<'_> {
    Box::pin(async { Err(RefusalCode::Internal.into()) })
}

const FILES: [&str; 2] = ["schema.json", "schema.xsd"];
static ROUTES: [Route<()>; 7] = [
    Route::post("/v1/datasets/{dataset}/records", &[Role::Department], &["op"], none),
    Route::get("/v1/datasets/{dataset}/{file}", &Role::ALL, &[], none).only(&FILES),
    Route::get("/v1/proposals", &Role::ALL, &["state"], none),
    Route::post("/v1/proposals", &[Role::SecurityOfficer], &[], none),
    Route::get("/v1/streams/{stream}/batches/{seq}/payload", &Role::ALL, &[], none),
    Route::get("/v1/log/tile/{tile}", &Role::ALL, &[], none).with_rest(),
    Route::post("/v1/members/{name}/suspend", &[Role::SecurityOfficer], &[], none).urgent(),
];
const TABLE: Table<()> = Table { routes: &ROUTES, head: true };
const OFFICERS: Table<()> = Table { routes: &ROUTES, head: false };

#[test]
fn paths_lead_to_their_rows_with_the_names_in_them() {
    for (path, template, names) in [
        ("/v1/datasets/penalty/records", "/v1/datasets/{dataset}/records", ["penalty", ""]),
        ("/v1/datasets/penalty/schema.xsd", "/v1/datasets/{dataset}/{file}", ["penalty", "schema.xsd"]),
        ("/v1/streams/a.b/batches/3/payload", "/v1/streams/{stream}/batches/{seq}/payload", ["a.b", "3"]),
        ("/v1/streams//batches/3/payload", "/v1/streams/{stream}/batches/{seq}/payload", ["", "3"]),
        ("/v1/log/tile/0/x001/234.p/5", "/v1/log/tile/{tile}", ["0/x001/234.p/5", ""]),
        (
            "/v1/log/tile/entries/x001/x002/x003/x004/5",
            "/v1/log/tile/{tile}",
            ["entries/x001/x002/x003/x004/5", ""],
        ),
        ("/v1/log/tile/", "/v1/log/tile/{tile}", ["", ""]),
    ] {
        let found = TABLE.find(path);
        assert_eq!((found.template(), found.names), (template, names), "{path}");
    }
    for path in [
        "/",
        "",
        "/v1",
        "/v1/",
        "/v1/proposals/",
        "/v2/proposals",
        "/v1//proposals",
        "/v1/log/tile",
        "/v1/datasets/penalty/schema.txt",
        "/v1/datasets/penalty/records/1",
        "/v1/streams/a/batches/3/payload/f",
        "/v1/streams/a/b/c/d/e/f",
    ] {
        assert_eq!(TABLE.find(path).template(), UNKNOWN, "{path}");
    }
    assert!(TABLE.find("/v1/members/a/suspend").is_urgent() && !TABLE.find("/v1/proposals").is_urgent());
}

#[test]
fn a_request_fails_at_the_first_check_it_does_not_pass() {
    let refused = |table: &Table<()>, path, method: Method, role| {
        let problem = table.admit(&table.find(path), &method, role).err().map(|p| (p.code(), p.allowed()));
        problem.unwrap_or_else(|| panic!("{path} lets it in"))
    };
    let (proposals, records) = ("/v1/proposals", "/v1/datasets/x/records");
    let wrong_role = (RefusalCode::RoleWrong, None);
    let not_allowed = |allow| (RefusalCode::MethodNotAllowed, Some(allow));
    assert_eq!(refused(&TABLE, "/v1/x", Method::PUT, Role::Auditor), (RefusalCode::NotFound, None));
    assert_eq!(refused(&TABLE, records, Method::GET, Role::Auditor), not_allowed("POST"));
    assert_eq!(refused(&TABLE, records, Method::HEAD, Role::Department), not_allowed("POST"));
    assert_eq!(refused(&TABLE, records, Method::POST, Role::Auditor), wrong_role);
    assert_eq!(refused(&TABLE, "/v1/log/tile/0", Method::POST, Role::Auditor), not_allowed("GET, HEAD"));
    assert_eq!(refused(&OFFICERS, "/v1/log/tile/0", Method::HEAD, Role::Auditor), not_allowed("GET"));
    assert_eq!(refused(&OFFICERS, proposals, Method::DELETE, Role::Auditor), not_allowed("GET, POST"));
    assert_eq!(refused(&OFFICERS, proposals, Method::POST, Role::Auditor), wrong_role);
    let found = TABLE.find(proposals);
    assert_eq!(TABLE.admit(&found, &Method::HEAD, Role::Auditor).map(|r| r.row.query).unwrap(), ["state"]);
}
