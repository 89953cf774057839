"use strict";

const { schema, csrfToken } = document.getElementById("docs").dataset;

SwaggerUIBundle({
  dom_id: "#docs",
  url: schema,
  // Who is logged in to the site can try the API as themselves
  requestInterceptor: (request) => {
    request.headers["X-CSRFToken"] = csrfToken;
    return request;
  },
});
