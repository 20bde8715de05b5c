/// Keys and tokens that another implementation (PyJWT) made, one token for each algorithm of RFC 7518 and RFC 8037. The private halves are gone.
public enum ForeignTokens {
    /// The keys as elements of a JSON Web Key Set, by `kid`.
    public static let keys: [String: String] = [
        "rsa":
            #"{"kty":"RSA","kid":"rsa","use":"sig","n":"lVXhE4YhDx0Y88Fz61KO8qEs_-XINtuN2_SQpYL5LliOt0TgEuDWGaIMuwC4Gvm0Gsj9PeTewPeagH1PdUpMload_Q7bHDsb7_D3bVWbOuIiBpY0ZwsmmWdJh90A74Rqy0LgX-x0t-OYomV9rAxE-AsntgPIh7UidsiMYsUc_RWDXDtHgCNF05mFJuE-Iq2B5TI5FfzjnE0DazQpBLdeSxk7a4C9Ha9MVaOtC3CZdeBmvBMjTZP6_GLnrrfzXM2OPlXg4qbscu2OenLx-1VMxcuvVmsYeAwPy3xE3EcKcU1cOkXUj5n9TKqOeTd9-IsaoniuKz1zHtR3C2Uxrh5Iaw","e":"AQAB"}"#,
        "p256":
            #"{"kty":"EC","kid":"p256","crv":"P-256","x":"L7p-tqeMhcJm9927gMBvoTLWuRb0P_2D7MVBq6srx0U","y":"kUywEHyOrX7PGQYCFrQ_rqOrd-wl7uK_KMkcS2efZuc"}"#,
        "p384":
            #"{"kty":"EC","kid":"p384","crv":"P-384","x":"FaOrV7QRHmf2v48BbeYlRurup-aqMJ2MlR9YjNlEiZxdIZDik7t3qR4JYqni1CNG","y":"7VbmDhszHQA7XApOvPP29TmRzp4g8EoNwiDnVWf0rkKYalFWdYmF_QQqqax-ma94"}"#,
        "p521":
            #"{"kty":"EC","kid":"p521","crv":"P-521","x":"AECeKOk6o960JqMI9agIVow_JRTgtv8GSUIoI9T6rYt4KYEO80nPjcupeYmcwTLQENBLsQFr4JyrQGq_ObUzY2ct","y":"AbpjiUHDN6ZnGxqCV8jPo2qrygbVaM8_rpTKldQDFNe8MelWfwHI3Ra56yTz53Sq0mpC4-tbs67dV2HfhVRtThPb"}"#,
        "ed25519":
            #"{"kty":"OKP","kid":"ed25519","use":"sig","crv":"Ed25519","x":"25IlhOV3aURq4xcXRsdAj9MCezFh1eStnE8jj2fd8tg"}"#,
        "oct":
            #"{"kty":"oct","kid":"oct","k":"CzBVep_E6Q4zWH2ix-wRNluApcrvFDleg6jN8hc8YYar0PUaP2SJrtP4HUJnjLHW-yBFao-02f4jSG2St9wBJg"}"#,
    ]

    /// `{"keys":[..]}` of all of them.
    public static let keySet =
        #"{"keys":[\#(Self.keys.keys.sorted().compactMap { Self.keys[$0] }.joined(separator: ","))]}"#

    /// The one for ES256 in PEM form: it verifies and cannot sign.
    public static let publicKey = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL7p+tqeMhcJm9927gMBvoTLWuRb0
        P/2D7MVBq6srx0WRTLAQfI6tfs8ZBgIWtD+uo6t37CXu4r8oyRxLZ59m5w==
        -----END PUBLIC KEY-----
        """

    /// The one for EdDSA in PEM form.
    public static let publicEdwardsKey = """
        -----BEGIN PUBLIC KEY-----
        MCowBQYDK2VwAyEA25IlhOV3aURq4xcXRsdAj9MCezFh1eStnE8jj2fd8tg=
        -----END PUBLIC KEY-----
        """

    /// By algorithm; each says `{"sub":"ann","exp":4000000000}`.
    public static let tokens: [String: String] = [
        "HS256": """
        eyJhbGciOiJIUzI1NiIsImtpZCI6Im9jdCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .MaRYzS71k_-2fGY54ptCzu4W06TRSALN9fNjrpEo3os
        """,
        "HS384": """
        eyJhbGciOiJIUzM4NCIsImtpZCI6Im9jdCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .me33H9jaAKh9zSaSOnQnqa4AYhonWNbSDUfmdz50fSGOYsUOClrz1fWqMo9JjSWQ
        """,
        "HS512": """
        eyJhbGciOiJIUzUxMiIsImtpZCI6Im9jdCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .QPGgZUMyuRxKr3Vt53pZWj0lcDyIwiyl9hXiG47SgmalVdaLMiwnY5tr6fnHJ0wsocQto4WYUA097IJbEIOP-g
        """,
        "RS256": """
        eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .Ils3XTR1u54MomtuCAnkdIZzTzqQ0PRBqd_3z2hbldda42iTxAAk-mG5BxvYDAz0RuE90l11oqPx6lAZ4Sc4cwqTSmqshrRrgOSiBCHzqVI\
        OK0_fQzE_C4phnPtzDxrceQf09sjsaXhEfEL2zdI4Cln6kmMVKmAF7JNokvhdP2vJWphiMRyW6hhmukdfGkWUSGjiDwc9OsGpzrdTRjrb6S7\
        kQoSnMf09jMHFnNYrKNB66-dFFG-eDoxllFBN3CqOSVwJZR0Dqcg09MTF9x08k0QgCpixqCbpdlLRq_lhpC_bq-Tbiaa7svcWplxzueRL6tx\
        ApBdLDi4dvUu23fQmAA
        """,
        "RS384": """
        eyJhbGciOiJSUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .EwnV38NEkKJvnixpHTzrfOYLGYsGqSj4j9sUR2A-Vbqz1XIetR0E8PV9mSbLGmRAsWYDM9cEDFLwOMCBfnM6Lj_LfbHMSnmmzlTtM_Do45k\
        VJkWstQWyzTHyRO1CG0fr5YBlH2txoJz30HBs7MmShxqp5hI8hhipvxO10o0JHrbjvk4MU8r39qQA-VTSBlhRHKGgfl1Rx709sMxZ4-Z0Tu0\
        QNMvipLwkm3i_hXxC94msKEXCgS6SROhCtwAoTdekzxIa-DfWG6QqihLfyuFeLHP4l98EjriOl_SFUbrVaIGbHjgl_-mLwVejTdR2I01c2IM\
        jeNPDEHGx7rXTqwftSw
        """,
        "RS512": """
        eyJhbGciOiJSUzUxMiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .i9bvafyFaMkhmAPW6dZKnHYGWi5nyQQcuUGg-SWhKvZnexgWK83lNKW5JsWsf7AOeqN3bUUiHuVvHOQwTAIXSs2tnzR1MrMhuP_2kwuNDb6\
        x1YwxdReEx7bo_TRy6_miXNgdF-XJem7qI4lzbSGr_QuNP0kQaWCYvF_-YmcciKys509KiWOxl71sbOuGKjCWOVcP1BWNZe5Ank82j8lHkfg\
        XjBNczFq9zTd8Uz0YQdNow2BnzWNtjiWo8ero9eIMXANWPc3OH-eSKtXhVmJTEz2kD1JsPH4y8DeZtB7q2hV_Bg3811z53HIpmnuo-_g-O8y\
        -Z1UDXc7iofoAOZiLMA
        """,
        "PS256": """
        eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .AxJSxHCNLpopAmLKT6ZsWrw_JZu-LNoUo6g2wif0xBW3GHUadszXFkIugUjmy_iI5tfd8HV8d4WY9AjDrInDhvaWSq_OHCN3J_xvEpyr3cn\
        lZWLL9rakRlZNGEA35Um81V8nvIKMM7qv7iSibwa0q7eyK2ibbu77U_zN94dgTa0SyOL5U9rIX3kGYAa5e5bgpGRRFv4BqcqEtflUVI39min\
        KecMeC-f3PXB6bZK6R9dzcf5M8M6GfUOwoJgVX3-csvQNs-JwEfbpnAEaQv9IAjV8vDr6ngIu0u1-4T19DQAWWIEpYF02CajKt2Xzx2VM8qk\
        GPxhppg7VU--5f0gcPA
        """,
        "PS384": """
        eyJhbGciOiJQUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .fNpBzWtO27lwBNzKsbDFnwbFHBvR9zwp4gDNhH49kjqIU_PxPwTd35hKm29tbk7-tbeP3FPjnLup54As92ILuxfd8MSRf0A8_xZzbQOhHL4\
        hE6CtauHbg8lGlJTNkN7kO1XJQl_bQ2v4qodh3PmwvF3ZLsgxu9eGyn6Bvgdd7PsiiYDuCAf9MatKmUbpjjdC-wmtN8SgjsOeele9Zgg_GtZ\
        wf2ObSmGDx7QGVYdC7ZEx5PDmBY-tP9GARcV9Q6LU9ZzC9-VRaf6mvMGhr3lj6lrRE0lrpTuVFSbWpYXffaJltdwonaX-ZuoceKXAjh59pg5\
        DWP0vG8fSiN9x-xuThQ
        """,
        "PS512": """
        eyJhbGciOiJQUzUxMiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .N3Ob18Cy5-bZyZS_nJE4gEQv5KwYXXg63CPlX9P2cLDvaxp-BP08q1Vgelj73Tav97eskl3Nvah5FEiYgh0Zrsl6dWwZyjcl9M58RU-TEhQ\
        RMYz9LQTOVv9NgrbLatMxAcXX8VkLOM9PUgDw8vK9NjepmEZEgq7JUwoEGb9c8YgmFPJMWh80yV0Pvvcj1vCF2ICk0xkz7iSyHHh_mLFN8aI\
        0Oi580_7DdPysZ7EWTlBno-x18dQYcHlSWOYPQXqxU8XnvsYRkzwddUR95pUwyB-eQoSRhGqkDMRLtNTvaOqg-fSoyIAV_mVf8yONRNSSXyP\
        i2jqzRexnoVq4KraVCg
        """,
        "ES256": """
        eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .stOWvhQUKozWulKnqExkOyNzHtyQCaEouWUuN6SyD5sfJXUozRTe9H-H_mDCalKpum4RBZcuENT3gJYKZFhkrw
        """,
        "ES384": """
        eyJhbGciOiJFUzM4NCIsImtpZCI6InAzODQiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .ZZD3FYKyLcHIKSPeDoNcgf9NilNtroTy-LboP9qvGoI2uL9J9CECh_P6uNvkoqomoVJcsc-puYJnQlW1U2dtpT1TVTFnPx31mdjhPtjkKT2\
        Oyf1IsQ7GKEzTQJqrxYym
        """,
        "ES512": """
        eyJhbGciOiJFUzUxMiIsImtpZCI6InA1MjEiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .AfsZXct8FNDkWr1P9DllSXZiB-MgkArpWp9VUdM8yPAN0xAyQTY3ZO3_x-p3MbLfDBiDl0iepc3L9iozQIkq1XccACQ2I_ENm34K3a29vfo\
        hy1DH55v-97u0bWZcLV4U683hV1yExyxzVHgEBHccZLowHRw9jgP3JAFz9dPDVGewx8YC
        """,
        "EdDSA": """
        eyJhbGciOiJFZERTQSIsImtpZCI6ImVkMjU1MTkiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9\
        .6XTb3oi1ec_9XlF4BZ01gjm5vNcFOA5xCLZubD4Rb_ynfLGWUDy2YHsxDk4Xr8z6eyn_IIwWmr1VY61JAqq_Cw
        """,
    ]
}
