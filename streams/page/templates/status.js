"use strict";
{# Two parts: send the forms, and follow the worker. Nothing here decides what is allowed. #}
const byId = (id) => document.getElementById(id);
const main = byId("status");
const told = () => JSON.parse(byId("now").dataset.now);
let now = told();

{% include "send.js" %}

{% include "follow.js" %}
