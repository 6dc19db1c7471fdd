// A SCIM application on SCIMMY, which we did not write; what it stores, in memory, is all that is ours.
// node application.js PORT TOKEN

import { randomUUID } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const [port, token] = process.argv.slice(2);

function keep(Resource, unique) {
    const stored = new Map();
    return SCIMMY.Resources.declare(Resource)
        .ingress((resource, data) => {
            const id = resource.id ?? randomUUID();
            if (resource.id && !stored.has(id)) throw new SCIMMY.Types.Error(404, null, "Nobody has this id");
            const taken = [...stored.values()].some((one) => one.id !== id && unique && one[unique] === data[unique]);
            if (taken) throw new SCIMMY.Types.Error(409, "uniqueness", "It is taken");
            stored.set(id, { ...JSON.parse(JSON.stringify(data)), id });
            return stored.get(id);
        })
        .egress((resource) => {
            if (!resource.id) return resource.filter ? resource.filter.match([...stored.values()]) : [...stored.values()];
            if (!stored.has(resource.id)) throw new SCIMMY.Types.Error(404, null, "Nobody has this id");
            return stored.get(resource.id);
        })
        .degress((resource) => {
            if (!stored.delete(resource.id)) throw new SCIMMY.Types.Error(404, null, "Nobody has this id");
        });
}

keep(SCIMMY.Resources.User.extend(SCIMMY.Schemas.EnterpriseUser), "userName");
keep(SCIMMY.Resources.Group);

const routers = new SCIMMYRouters({
    type: "bearer",
    handler: (request) => {
        if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("Not the token");
        return "hub";
    },
});
express().use("/scim", routers).listen(Number(port), "127.0.0.1");
