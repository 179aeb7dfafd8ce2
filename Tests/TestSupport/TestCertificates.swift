// Certificates and keys for tests, made once by openssl: they are nobody's, and all but one are valid until 2126.

/// PEM. The certificates of servers are for `localhost` and `127.0.0.1`.
package enum TestCertificates {
    /// Who vouches for all but the stranger.
    package static let authority = """
        -----BEGIN CERTIFICATE-----
        MIIBhDCCASqgAwIBAgIUdGqL0XP0LVtY4HAikB3xKGIgn9cwCgYIKoZIzj0EAwIw
        HzEdMBsGA1UEAwwUd2hhcmYgdGVzdCBhdXRob3JpdHkwIBcNMjYxMTMwMTExOTM5
        WhgPMjEyNjExMDYxMTE5MzlaMB8xHTAbBgNVBAMMFHdoYXJmIHRlc3QgYXV0aG9y
        aXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEk0JujjtY2lzB7i6UEfAAQeSA
        UjgWKjGNXOWNlwnXzxC3oMIe6DUOEoOBpHvuxC/JMOPU3GSHLuyJD8g0D8xGfKNC
        MEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYwHQYDVR0OBBYEFJ0Y
        BPdtj8uBHs9WR0EhxnnVuI3/MAoGCCqGSM49BAMCA0gAMEUCIQDDocDgK7Pf0rdl
        9UhQVGjV2cpSL/flL7c/H95Xpk+xkQIgAcSz2i0ad36uAtliUPUfNY3PFfc97iaD
        gHhfO89Bb/0=
        -----END CERTIFICATE-----

        """

    /// A server's.
    package static let server = """
        -----BEGIN CERTIFICATE-----
        MIIBoDCCAUagAwIBAgIUR4Y5pv2KfPJwIcZIGKYkDmgWOLIwCgYIKoZIzj0EAwIw
        HzEdMBsGA1UEAwwUd2hhcmYgdGVzdCBhdXRob3JpdHkwIBcNMjYxMTMwMTExOTM5
        WhgPMjEyNjExMDYxMTE5MzlaMBExDzANBgNVBAMMBnNlcnZlcjBZMBMGByqGSM49
        AgEGCCqGSM49AwEHA0IABAOYUbKE1za2HlCLN4Nq8Y15gKvldeVHnw4J2ti0hzGA
        c6PjvE1WTtFz5m//DIfXg88f7xi4gZz93+xzks7M4U6jbDBqMAwGA1UdEwEB/wQC
        MAAwGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMB8GA1UdIwQYMBaAFJ0YBPdt
        j8uBHs9WR0EhxnnVuI3/MB0GA1UdDgQWBBQZGb0FxYg4PoUggsHvclH62GRdpzAK
        BggqhkjOPQQDAgNIADBFAiAXMyhdHUDat2DEzjakgjv8+SxIBZP/gcprpM8usPRT
        XQIhALPXHcQJqte6W8fKUxsO81xRJfc78f25aNsuYULaH/az
        -----END CERTIFICATE-----

        """

    /// Of `server`, of `expired` and of `stranger`.
    package static let serverKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqg1z/ww8uTbBbbjz
        17npIPshu6peiO4wREN8eiqIFqyhRANCAAQDmFGyhNc2th5QizeDavGNeYCr5XXl
        R58OCdrYtIcxgHOj47xNVk7Rc+Zv/wyH14PPH+8YuIGc/d/sc5LOzOFO
        -----END PRIVATE KEY-----

        """

    /// Another server's.
    package static let renewed = """
        -----BEGIN CERTIFICATE-----
        MIIBoDCCAUegAwIBAgIUVqHbCM1Y/HV4jUHYhWcPwfzPMXAwCgYIKoZIzj0EAwIw
        HzEdMBsGA1UEAwwUd2hhcmYgdGVzdCBhdXRob3JpdHkwIBcNMjYxMTMwMTExOTM5
        WhgPMjEyNjExMDYxMTE5MzlaMBIxEDAOBgNVBAMMB3JlbmV3ZWQwWTATBgcqhkjO
        PQIBBggqhkjOPQMBBwNCAATEj8thXW7Lw//1UZpS73G5XVkMAPikicFH174x+QB8
        IaxKd+t28+voP9VCY4l53mwJdKHLhPRv4ZONHSvNnw13o2wwajAMBgNVHRMBAf8E
        AjAAMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAfBgNVHSMEGDAWgBSdGAT3
        bY/LgR7PVkdBIcZ51biN/zAdBgNVHQ4EFgQU5oPUMRYyHn4Taf8eygPaWNyxq00w
        CgYIKoZIzj0EAwIDRwAwRAIgQRv1grjalUxiqXA5CiUUge6IutTvQwVo8N9tIgaw
        awsCIBM3fGaD/I4I0BezASmzjQuUlW8DmRQDezeyYRcSp3Uc
        -----END CERTIFICATE-----

        """

    /// Of `renewed` and of `client`.
    package static let renewedKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBiI6iJzoEqRL+1hS
        Hts0cZNQaxnT78JCfa97bqo4pjChRANCAATEj8thXW7Lw//1UZpS73G5XVkMAPik
        icFH174x+QB8IaxKd+t28+voP9VCY4l53mwJdKHLhPRv4ZONHSvNnw13
        -----END PRIVATE KEY-----

        """

    /// A server's that was valid in January 2020.
    package static let expired = """
        -----BEGIN CERTIFICATE-----
        MIIBoDCCAUWgAwIBAgIURAD0Hyxd/cpMU10C6yOKZ7HCPA4wCgYIKoZIzj0EAwIw
        HzEdMBsGA1UEAwwUd2hhcmYgdGVzdCBhdXRob3JpdHkwHhcNMjAwMTAxMDAwMDAw
        WhcNMjAwMTMxMDAwMDAwWjASMRAwDgYDVQQDDAdleHBpcmVkMFkwEwYHKoZIzj0C
        AQYIKoZIzj0DAQcDQgAEA5hRsoTXNrYeUIs3g2rxjXmAq+V15UefDgna2LSHMYBz
        o+O8TVZO0XPmb/8Mh9eDzx/vGLiBnP3f7HOSzszhTqNsMGowDAYDVR0TAQH/BAIw
        ADAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwHwYDVR0jBBgwFoAUnRgE922P
        y4Eez1ZHQSHGedW4jf8wHQYDVR0OBBYEFBkZvQXFiDg+hSCCwe9yUfrYZF2nMAoG
        CCqGSM49BAMCA0kAMEYCIQCQSy7qjW3a6xb7iIWB59GZLxNCuMNzRbrH4muFvniW
        WAIhAPK6SdiFu4nXzDn33vCTlBlavFhpSSbmg2irf9G+T+C3
        -----END CERTIFICATE-----

        """

    /// A client's.
    package static let client = """
        -----BEGIN CERTIFICATE-----
        MIIBmTCCAT+gAwIBAgIUUMYKTnLyqM3lE9GDdaUvhpq3nmAwCgYIKoZIzj0EAwIw
        HzEdMBsGA1UEAwwUd2hhcmYgdGVzdCBhdXRob3JpdHkwIBcNMjYxMTMwMTExOTM5
        WhgPMjEyNjExMDYxMTE5MzlaMBExDzANBgNVBAMMBmNsaWVudDBZMBMGByqGSM49
        AgEGCCqGSM49AwEHA0IABMSPy2FdbsvD//VRmlLvcbldWQwA+KSJwUfXvjH5AHwh
        rEp363bz6+g/1UJjiXnebAl0ocuE9G/hk40dK82fDXejZTBjMAwGA1UdEwEB/wQC
        MAAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHwYDVR0jBBgwFoAUnRgE922Py4Eez1ZH
        QSHGedW4jf8wHQYDVR0OBBYEFOaD1DEWMh5+E2n/HsoD2ljcsatNMAoGCCqGSM49
        BAMCA0gAMEUCIQDPefKWCtPSNPDss94hMhVuMxmnifNA5nvB2jFImjMtaAIgFQXn
        6rnSWrotqDk/1s2AIEbDYxrmGyZNFOty03aCMyY=
        -----END CERTIFICATE-----

        """

    /// A client's that vouches for itself.
    package static let stranger = """
        -----BEGIN CERTIFICATE-----
        MIIBbjCCARSgAwIBAgIUSkQjlCIYXuV3M+1TOk86RFO3Y8QwCgYIKoZIzj0EAwIw
        EzERMA8GA1UEAwwIc3RyYW5nZXIwIBcNMjYxMTMwMTExOTM5WhgPMjEyNjExMDYx
        MTE5MzlaMBMxETAPBgNVBAMMCHN0cmFuZ2VyMFkwEwYHKoZIzj0CAQYIKoZIzj0D
        AQcDQgAEA5hRsoTXNrYeUIs3g2rxjXmAq+V15UefDgna2LSHMYBzo+O8TVZO0XPm
        b/8Mh9eDzx/vGLiBnP3f7HOSzszhTqNEMEIwDAYDVR0TAQH/BAIwADATBgNVHSUE
        DDAKBggrBgEFBQcDAjAdBgNVHQ4EFgQUGRm9BcWIOD6FIILB73JR+thkXacwCgYI
        KoZIzj0EAwIDSAAwRQIhAJM9Yz8MKok6pQaG0pbMg6uma1sOT39aa7tPx3wIclGa
        AiBtek6sF2k97SdPW2MfmSyf2X0hIq95P+kegmL0y5g9MA==
        -----END CERTIFICATE-----

        """

    /// `serverKey` behind a password.
    package static let lockedKey = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjNSHdBRTTMxAICCAAw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEL69NnDuvO7WkofbcrK+ZqEEgZCM
        sgdhXveZcHauZf0ZYnIhnxp9YB/XOdPIs6ZY5aatC8Fj+Pt9LSgej263DRhP8XDh
        dtTiyVGpaENz4XN/xIMXIQvjkrehF8aYnmtDq/k8fzrKDAbkAE4yap8QlcZqwOZk
        newQxwB346mZEXEVuFOECjpAX+oziYbE693b7tOLgrnJGv6BezbtTxBXXVx2+uo=
        -----END ENCRYPTED PRIVATE KEY-----

        """

    /// A server's of RSA, 2048 bits.
    package static let rsa = """
        -----BEGIN CERTIFICATE-----
        MIICaDCCAg6gAwIBAgIUIxhAEVu9ZnYYVw+f4z0swXeNKFowCgYIKoZIzj0EAwIw
        HzEdMBsGA1UEAwwUd2hhcmYgdGVzdCBhdXRob3JpdHkwIBcNMjYxMTMwMTExOTM5
        WhgPMjEyNjExMDYxMTE5MzlaMA4xDDAKBgNVBAMMA3JzYTCCASIwDQYJKoZIhvcN
        AQEBBQADggEPADCCAQoCggEBAK4NfOyyhEm1LeIErfYoJ6vPNYcrfNT0JVv3NrL3
        7PAnqcuQ8tgZfPg9emyrS1S/igNkFW7wM2mtSZ5Oxt4MUWu94ceIdrns6nYNcAcz
        GNL+8ohOv6XUpNYT7Cr/x5kZO/vnfD1aWMj6sw59hpvkpFrIaArUzJhRCVAT395c
        SVgKmpbrBKvoNGN1j20nmXD76JOuAe/ox+RdF0kwAZsXo/jpXqYCUg750rN+TdPD
        xpNMelW0XSluWoKkGp95F2/jaWMg486d4g8oSboHLJS8HXW0YZ7YYL/1KuL3cdUz
        7r0iNOaUqmox3BH71QdlbgHjjmPP0n4NpsEE9WdqEOzrBwMCAwEAAaNsMGowDAYD
        VR0TAQH/BAIwADAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwHwYDVR0jBBgw
        FoAUnRgE922Py4Eez1ZHQSHGedW4jf8wHQYDVR0OBBYEFEw0mNwmy+A49v/QRNpJ
        Ve8orG4LMAoGCCqGSM49BAMCA0gAMEUCIQC3a8N1kyuPnWr+yUJhcQQm8tfGYkti
        v7RT2lGS4F8uQgIgLpbvixLTgAj9d9YK+ZSavyhJaYvIjfV2emuXzoGTg6g=
        -----END CERTIFICATE-----

        """

    /// Of `rsa`.
    package static let rsaKey = """
        -----BEGIN PRIVATE KEY-----
        MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCuDXzssoRJtS3i
        BK32KCerzzWHK3zU9CVb9zay9+zwJ6nLkPLYGXz4PXpsq0tUv4oDZBVu8DNprUme
        TsbeDFFrveHHiHa57Op2DXAHMxjS/vKITr+l1KTWE+wq/8eZGTv753w9WljI+rMO
        fYab5KRayGgK1MyYUQlQE9/eXElYCpqW6wSr6DRjdY9tJ5lw++iTrgHv6MfkXRdJ
        MAGbF6P46V6mAlIO+dKzfk3Tw8aTTHpVtF0pblqCpBqfeRdv42ljIOPOneIPKEm6
        ByyUvB11tGGe2GC/9Sri93HVM+69IjTmlKpqMdwR+9UHZW4B445jz9J+DabBBPVn
        ahDs6wcDAgMBAAECggEAAdEKOL40O0C01eMOnb8ViumCuYJurxpNOYR/AacsxeTk
        FMfSgQbjEwQxPukaxCurmRV2U84V+0hfuFNCKBcg0msM7DQ0aQRb/hdtz+VsoOcg
        SOPphCWQAtv6XwiEYMiuo5Zq6YkD3DUhoUkWGpJsVLY6v8Iw0HYoDrnmYD++VDjj
        szzsiXVo9ayhUVXkLGibFdtbnEUKiiQUSLs7nSl3Oh8zBR+KyE5leHyPCqU0bmtO
        T6+Jv3cMR6QGTlqwLOxiS0eL2abbGzLcXR3xiw9eVlt/YXIWgkYEKziLVloxwRe8
        /+9AgZ5kkNZpeJoul9JYk7zfl2CPELjw3Oy0Y6f3QQKBgQDbzSmPtBxUF9RZ13Ni
        NA5DTmyM+hZV9p8K8QtP+va/r9H32DJm8zRMIM8ZpTmClhWG4/HT/iJ1KJWhg+ZR
        /EQZG33uNSpwbxptoQMyCf4IYd0N136HOqxCL6/zX3sI7oEKL546LvhMmaVQduh7
        0UbHVRJjl++W55M4E+Fk1N1yewKBgQDKt46j+48WiGox2t2RsufYvxn71iO7l23L
        qqnN7BNFv/MLXJKS1ncDP5XuHfrkUSY1sXEoO3doFpL79cY43zPRJ4JZdIIhgt+d
        OpWyToSrot+owk9jHco9khOizXn7CHT378HgL6kGBvFZhKQr03E2jvIU+wUxzXci
        beT/y5G7GQKBgCj16bna8bCGJE99xAXX95R5Z+c5r7HjXK4YT2hfN15vcGyEgJgI
        2IUbVBzOWpJIT8isb+N2p4s3vfK0dtZucW5QXj5m7/q16bHmYIcRr6J2QlCTCQRA
        XduTsXFkKLR4Zdm1GAJ1wFXeCB2fmyF/1XXOF7gxlzeC/j9kDQvSU1ZDAoGAH170
        pg/h/tyxgnGaZFfJZVN9k+l5signB6Orj4B/IwYneJSk4jBqTohijWz6TKb6QMjq
        +Azr16HWsUNBn796510z4OAU21bDgDN2wxc/lMgp0JXxbydHCuw2ObWOsPiIEW57
        FFSL1bDxXKcYOOgJ1yWb9P87uI9RZnSXQbahINECgYEAkOxYFXVHOht0G33DcHUD
        w3cAIW0Uh+iDHrWScEnOWJWuMBI+L4JtbM0dev+/7o+GSyH5k8z4mdiqKBzQowV6
        kHUzBJFzgwnAYdpR9z21lasVTbt72GNZjJetdrqFXnsyK0V1ajD1SE40O0HMKInB
        HJ2Mfvo2C7OeRDXiDUUaBs4=
        -----END PRIVATE KEY-----

        """
}
