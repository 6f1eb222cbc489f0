// Run once by the MongoDB image, in a new data folder: the user of this installation.
// Where a family's app owns the answers in `afs`, `read` is enough there (then `agent-assets seed` and corrections
// on the memory page are refused).
const password = require("fs").readFileSync("/run/secrets/mongo_password", "utf8").trim();
db.getSiblingDB("admin").createUser({
  user: "agent_assets",
  pwd: password,
  roles: [
    { role: "readWrite", db: "afs" },
    { role: "readWrite", db: "agent_assets" },
  ],
});
