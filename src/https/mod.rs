//! HTTPS for both programs: listener, certificates, limits on connections. Knows no route and no program.
